import { createHash } from "node:crypto";
import type { ByteSource } from "../../engine/files/index.ts";
import { EvaluationError } from "../../refiner/evaluation/index.ts";

/** Key of the digest among a table's own words, and how both stand in its footer (Thrift compact protocol: a string of 64 bytes). */
export const checksumKey = "sha256";
const digits = 64;
const marker = Buffer.from([...Buffer.from(checksumKey), 0x18, digits]);
/** Stands for the digest while it is computed. */
export const noChecksum = "0".repeat(digits);

const magicBytes = 4;
const pieceBytes = 1 << 22;

/** Computes the digest of a table that is written piece by piece: of all its bytes, with zeros in the digest's place. */
export class TableChecksum {
  readonly #hash = createHash(checksumKey);

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** Puts the digest into the bytes of the footer. */
  sign(footer: Uint8Array): void {
    this.add(footer);
    const bytes = Buffer.from(footer.buffer, footer.byteOffset, footer.byteLength);
    const at = bytes.lastIndexOf(marker);
    if (at < 0) throw new RangeError("embed: the writer of parquet left no room for the table's checksum");
    bytes.write(this.#hash.digest("hex"), at + marker.length, "latin1");
  }
}

/**
 * Reads a table once and compares its digest. The reader of parquet believes what a damaged table says of itself: some lengths then take it
 * minutes.
 *
 * @throws EvaluationError for a table without a digest, or with another one
 */
export async function checkTable(path: string, source: ByteSource): Promise<void> {
  const { sizeBytes } = source;
  const again = "embed the images again, or give the features as .npy";
  const ending = 2 * magicBytes; // length of the footer and magic
  const tail = Buffer.from(await source.read(Math.max(0, sizeBytes - ending), Math.min(ending, sizeBytes)));
  const footerBytes = tail.length === ending ? tail.readUInt32LE(0) + ending : 0;
  if (footerBytes === 0 || footerBytes > sizeBytes || tail.toString("latin1", magicBytes) !== "PAR1")
    throw new EvaluationError(`search: ${path} ends before its footer; ${again}`);
  const start = sizeBytes - footerBytes;
  const footer = Buffer.from(await source.read(start, footerBytes));
  const at = footer.lastIndexOf(marker);
  if (at < 0) throw new EvaluationError(`search: ${path} has no checksum of its own; ${again}`);
  const stated = footer.toString("latin1", at + marker.length, at + marker.length + digits);
  footer.write(noChecksum, at + marker.length, "latin1");
  const hash = createHash(checksumKey);
  for (let from = 0; from < start; from += pieceBytes)
    hash.update(await source.read(from, Math.min(pieceBytes, start - from)));
  if (hash.update(footer).digest("hex") === stated) return;
  throw new EvaluationError(`search: ${path} is damaged: its bytes have another checksum than it states; ${again}`);
}
