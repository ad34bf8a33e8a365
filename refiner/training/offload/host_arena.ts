import {
  type Arena,
  type ArenaEntry,
  arenaBlockElements,
  type Device,
  OptionError,
  sizeOf,
} from "../../../engine/index.ts";
import { readChunk } from "./arena_pieces.ts";

/**
 * Values of an arena that lie on the host, in its layout: for state that an update touches once. Memory is taken on first use, so
 * that plans can be made without it.
 */
export class HostArena {
  readonly dtype = "f32";
  #chunks: readonly Float32Array[] | undefined;
  #pending: Promise<unknown> = Promise.resolve();

  constructor(
    /** Whose names, shapes and layout it has. */
    readonly layout: Arena,
    readonly name: string,
  ) {}

  get device(): Device {
    return this.layout.device;
  }

  get entries(): readonly ArenaEntry[] {
    return this.layout.entries;
  }

  placeOf(name: string): ReturnType<Arena["placeOf"]> {
    return this.layout.placeOf(name);
  }

  get sizeBytes(): number {
    return this.layout.sizeBytes;
  }

  /** The values of a chunk; zeros at first. Where {@link settled} was not awaited, some may still be on their way. */
  chunk(index: number): Float32Array {
    this.#chunks ??= this.layout.chunks.map(({ size }) => new Float32Array(size));
    const chunk = this.#chunks[index];
    if (!chunk) throw new OptionError(`${this.name}: there is no chunk ${index}; it has ${this.#chunks.length}`);
    return chunk;
  }

  /** Notes that values are on their way from the device. */
  follow(pending: Promise<unknown>): void {
    this.#pending = pending;
    pending.catch(() => undefined); // whoever asks for the values sees the error
  }

  /** Resolves when all values are there. @throws DeviceLostError */
  async settled(): Promise<void> {
    await this.#pending;
  }

  /** The values of one tensor, as a view. */
  get(name: string): Float32Array {
    const { chunk, firstBlock } = this.placeOf(name);
    const from = firstBlock * arenaBlockElements;
    return this.chunk(chunk).subarray(from, from + sizeOf(this.layout.get(name).shape));
  }

  /** Takes over the values of an arena of the same layout. @throws DeviceLostError */
  async load(from: Arena): Promise<void> {
    await this.settled();
    for (const [i, chunk] of from.chunks.entries()) {
      const values = await readChunk(chunk);
      this.chunk(i).set(values);
    }
  }

  /** Writes the values into an arena of the same layout. @throws DeviceLostError */
  async store(to: Arena): Promise<void> {
    await this.settled();
    for (const [i, chunk] of to.chunks.entries()) to.device.write(chunk, this.chunk(i));
  }

  /** Frees the memory; a later use starts from zeros. */
  destroy(): void {
    this.#chunks = undefined;
  }
}
