import { bytesPerElement, type DType } from "./dtype.ts";
import { OptionError, OverLimitError } from "./errors.ts";
import type { Device } from "./recording.ts";
import { type Shape, showShape, sizeOf } from "./shape.ts";
import { alignUp, bindingAlignment, StateStorage } from "./storage.ts";
import { Tensor } from "./tensor.ts";

/** Name and shape of one tensor of an arena. */
export interface ArenaEntry {
  readonly name: string;
  readonly shape: Shape;
}

/** Elements per block of an arena of f32; every tensor starts at a block (256 bytes). */
export const arenaBlockElements = bindingAlignment / 4;

/**
 * Many persistent tensors laid out in few flat chunks, so that optimiser, averages and saving are one pass over a
 * chunk. Padding between tensors stays zero. Chunks are as large as one binding allows.
 */
export class Arena {
  /** Flat views of the chunks, in order. */
  readonly chunks: readonly Tensor[];
  readonly #tensors = new Map<string, Tensor>();
  readonly #places = new Map<string, { chunk: number; firstBlock: number; blocks: number }>();

  /** @throws OptionError for a name given twice, OverLimitError for a tensor over `maxStorageBufferBindingSize` */
  constructor(
    readonly device: Device,
    readonly name: string,
    readonly entries: readonly ArenaEntry[],
    readonly dtype: DType = "f32",
  ) {
    const elementBytes = bytesPerElement[dtype];
    const limit =
      Math.floor(Math.min(bindingBytes(device), device.limits.maxBufferSize) / bindingAlignment) * bindingAlignment;
    const chunkBytes: number[] = [];
    const planned = entries.map(({ name: entry, shape }) => {
      const bytes = alignUp(sizeOf(shape) * elementBytes, bindingAlignment);
      if (bytes > limit) {
        throw new OverLimitError(
          `${name}: ${entry} ${showShape(shape)} has ${bytes} bytes, over maxStorageBufferBindingSize ${limit}; use another adapter`,
        );
      }
      const last = chunkBytes.length - 1;
      const chunk = last >= 0 && (chunkBytes[last] ?? 0) + bytes <= limit ? last : chunkBytes.push(0) - 1;
      const offset = chunkBytes[chunk] ?? 0;
      chunkBytes[chunk] = offset + bytes;
      return { entry, shape, chunk, offset, bytes };
    });
    const storages = chunkBytes.map((bytes, i) => new StateStorage(device, `${name} chunk ${i}`, bytes));
    for (const { entry, shape, chunk, offset, bytes } of planned) {
      const storage = storages[chunk];
      if (this.#tensors.has(entry) || !storage)
        throw new OptionError(`${name}: ${entry} is declared twice; names must be unique`);
      this.#tensors.set(entry, new Tensor(device, shape, dtype, storage, offset));
      this.#places.set(entry, { chunk, firstBlock: offset / bindingAlignment, blocks: bytes / bindingAlignment });
    }
    this.chunks = storages.map(
      (storage, i) => new Tensor(device, [(chunkBytes[i] ?? 0) / elementBytes], dtype, storage),
    );
  }

  /** An arena of zeros with the same layout, such as gradients or moments. */
  like(name: string): Arena {
    return new Arena(this.device, name, this.entries);
  }

  /** @throws OptionError if there is no tensor of that name */
  get(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new OptionError(`${this.name}: no tensor named ${name}`);
    return tensor;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** All tensors by name, in the order of declaration. */
  get tensors(): ReadonlyMap<string, Tensor> {
    return this.#tensors;
  }

  /** Chunk and blocks of 256 bytes (in f32, {@link arenaBlockElements} elements) that a tensor covers. */
  placeOf(name: string): { readonly chunk: number; readonly firstBlock: number; readonly blocks: number } {
    const place = this.#places.get(name);
    if (!place) throw new OptionError(`${this.name}: no tensor named ${name}`);
    return place;
  }

  get sizeBytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.sizeBytes, 0);
  }

  destroy(): void {
    for (const chunk of this.chunks) chunk.destroy();
  }
}

/** What every adapter has, which WebGPU promises. */
const promisedBindingBytes = 2 ** 27;

/** Bytes of the largest chunk. Norms are summed chunk by chunk, so that a reproducible device takes chunks that every adapter can have. */
function bindingBytes({ limits, reproducible }: Device): number {
  return reproducible ? promisedBindingBytes : limits.maxStorageBufferBindingSize;
}
