import { ValidationError } from "../core/errors.ts";
import { GPUBufferUsageFlags } from "../core/storage.ts";
import type { Memory } from "./compile_kernel.ts";

/** A buffer of the interpreter: bytes of the host. Work is done when it is submitted, so that maps need not wait. */
export class InterpretedBuffer implements GPUBuffer {
  readonly __brand = "GPUBuffer";
  readonly size: number;
  readonly usage: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  label: string;
  #mapped: { readonly from: number; readonly range: ArrayBuffer } | undefined;

  constructor({ label, size, usage }: GPUBufferDescriptor) {
    this.label = label ?? "";
    this.size = size;
    this.usage = usage;
    this.bytes = new Uint8Array(size);
  }

  get mapState(): GPUBufferMapState {
    return this.#mapped ? "mapped" : "unmapped";
  }

  async mapAsync(_mode: number): Promise<undefined> {
    if ((this.usage & GPUBufferUsageFlags.MAP_READ) === 0)
      throw new ValidationError(`interpreter: ${this.label} cannot be mapped; only buffers for reading can`);
  }

  getMappedRange(offset = 0, size = this.size - offset): ArrayBuffer {
    this.#mapped ??= { from: offset, range: this.bytes.buffer.slice(offset, offset + size) };
    const { from, range } = this.#mapped;
    return range.slice(offset - from, offset - from + size);
  }

  unmap(): undefined {
    this.#mapped = undefined;
  }

  destroy(): undefined {
    this.#mapped = undefined;
  }

  /** A range as words. */
  words(offset: number, size: number): Memory {
    const [{ buffer }, count] = [this.bytes, size / 4];
    return {
      f: new Float32Array(buffer, offset, count),
      i: new Int32Array(buffer, offset, count),
      u: new Uint32Array(buffer, offset, count),
      size,
    };
  }
}

/** @throws ValidationError for a buffer of another device */
export function interpreted(buffer: GPUBuffer): InterpretedBuffer {
  if (buffer instanceof InterpretedBuffer) return buffer;
  throw new ValidationError(`interpreter: ${buffer.label} is a buffer of another device; use those of this one`);
}
