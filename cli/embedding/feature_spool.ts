import { randomUUID } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { forgetTemporary, noteTemporary } from "../../engine/platform/temporary_files_node.ts";

/** Bytes moved at a time. */
const pieceBytes = 4 * 2 ** 20;

/**
 * Feature rows on disk while their number is not known yet (broken images have none): formats with a header need the number
 * first, and memory has to stay flat.
 */
export class FeatureSpool {
  #rows = 0;

  private constructor(
    readonly path: string,
    readonly file: FileHandle,
    /** Values per row, f32. */
    readonly width: number,
  ) {}

  /** A temporary file beside `target`, so that both are on the same disk. */
  static async open(target: string, width: number): Promise<FeatureSpool> {
    const path = join(dirname(target), `.${basename(target)}.${randomUUID()}.rows`);
    noteTemporary(path);
    return new FeatureSpool(path, await open(path, "wx+"), width);
  }

  get rows(): number {
    return this.#rows;
  }

  async append(values: Float32Array): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.file.write(bytes, written, bytes.length - written);
      written += bytesWritten;
    }
    this.#rows += values.length / this.width;
  }

  /** All rows in order, some MiB at a time. */
  async *pieces(rowsPerPiece = Math.max(1, Math.floor(pieceBytes / (4 * this.width)))): AsyncGenerator<Float32Array> {
    for (let from = 0; from < this.#rows; from += rowsPerPiece) {
      const values = new Float32Array(Math.min(rowsPerPiece, this.#rows - from) * this.width);
      const bytes = new Uint8Array(values.buffer);
      for (let read = 0; read < bytes.length; ) {
        const position = from * this.width * 4 + read;
        const { bytesRead } = await this.file.read(bytes, read, bytes.length - read, position);
        if (bytesRead === 0)
          throw new Error(`embed: the temporary file ${this.path} became shorter; is the disk full?`);
        read += bytesRead;
      }
      yield values;
    }
  }

  async close(): Promise<void> {
    await this.file.close();
    await rm(this.path, { force: true });
    forgetTemporary(this.path);
  }
}
