import { DTypeError, OptionError } from "../../core/errors.ts";
import type { ByteSink } from "../byte_sink.ts";
import { bytesOf, countElements, elementBytes, type FileDType, type HostTensor } from "../host_tensor.ts";
import { npyDTypes, npyMagic } from "./npy_reader.ts";

const codes = new Map([...npyDTypes].map(([code, dtype]) => [dtype, code]));

function npyHeader(dtype: FileDType, shape: readonly number[]): Uint8Array {
  const code = codes.get(dtype);
  if (!code) throw new DTypeError(`writeNpy: .npy has no ${dtype}; convert to f32 or write safetensors`);
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dictionary = `{'descr': '${code}', 'fortran_order': False, 'shape': (${axes}), }`;
  // Version 1.0: 10 bytes, then the dictionary, spaces and a line end up to a multiple of 64.
  const total = Math.ceil((10 + dictionary.length + 1) / 64) * 64;
  const length = total - 10;
  const text = `${npyMagic}\x01\x00${String.fromCharCode(length % 256, length >> 8)}${dictionary.padEnd(length - 1)}\n`;
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Writes an array of a size known beforehand, some rows at a time. */
export class NpyRowWriter {
  private readonly sink: ByteSink;
  private readonly dtype: FileDType;
  private readonly shape: readonly number[];
  private remainingBytes: number;
  private started = false;

  /**
   * @param shape - of the whole array
   * @throws DTypeError for bf16, which `.npy` does not know; OptionError if `shape` is not a shape
   */
  constructor(sink: ByteSink, dtype: FileDType, shape: readonly number[]) {
    const count = countElements(shape);
    if (count === undefined) throw new OptionError(`NpyRowWriter: [${shape}] is not a shape`);
    npyHeader(dtype, shape);
    this.sink = sink;
    this.dtype = dtype;
    this.shape = shape;
    this.remainingBytes = count * elementBytes(dtype);
  }

  /** Appends whole rows. @throws DTypeError, OptionError if they are of another type, or more than announced */
  async write(rows: HostTensor): Promise<void> {
    if (rows.dtype !== this.dtype)
      throw new DTypeError(`NpyRowWriter.write: got ${rows.dtype}, expected ${this.dtype}`);
    if (rows.sizeBytes > this.remainingBytes) {
      throw new OptionError(`NpyRowWriter.write: more rows than the announced [${this.shape}]`);
    }
    await this.start();
    this.remainingBytes -= rows.sizeBytes;
    await this.sink.write(bytesOf(rows));
  }

  /** @throws OptionError if rows are missing */
  async finish(): Promise<void> {
    await this.start();
    if (this.remainingBytes > 0) {
      throw new OptionError(
        `NpyRowWriter.finish: ${this.remainingBytes} bytes are missing of the announced [${this.shape}]`,
      );
    }
  }

  private async start(): Promise<void> {
    if (this.started) return;
    this.started = true;
    await this.sink.write(npyHeader(this.dtype, this.shape));
  }
}

/** Writes one array. @throws DTypeError for bf16 */
export async function writeNpy(sink: ByteSink, tensor: HostTensor): Promise<void> {
  const writer = new NpyRowWriter(sink, tensor.dtype, tensor.shape);
  await writer.write(tensor);
  await writer.finish();
}
