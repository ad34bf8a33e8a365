import { ShapeError, ValidationError } from "../core/errors.ts";
import type { Device } from "../core/recording.ts";
import { GPUBufferUsageFlags, type StateStorage } from "../core/storage.ts";
import type { Tensor } from "../core/tensor.ts";
import { writeBuffer } from "./host_transfer.ts";

const mapModeRead = 0x1; // GPUMapMode.READ

/**
 * Device memory that pieces of host arrays pass through: uploaded, worked on, and read back while other slots do the same. Its
 * memory is taken on first use.
 */
export class StagingSlot {
  /** State `[elements]` f32 that kernels work on, one per array. */
  readonly tensors: readonly Tensor[];
  #back: GPUBuffer | undefined;
  #readBack: Promise<void> = Promise.resolve();

  /** @throws OverLimitError for pieces over `maxBufferSize` */
  constructor(
    readonly device: Device,
    readonly arrays: number,
    readonly elements: number,
  ) {
    this.tensors = Array.from({ length: arrays }, (_, i) => device.zeros([elements], "f32", `staged piece ${i}`));
  }

  /** What the slot takes on the device: every array once for the kernels and once on its way back. */
  get sizeBytes(): number {
    return 2 * 4 * this.arrays * this.elements;
  }

  /** Resolves when nothing is on its way back, so that the next pieces may be uploaded. @throws DeviceLostError */
  async free(): Promise<void> {
    await this.#readBack;
    this.device.throwIfLost();
  }

  /**
   * Copies the pieces to the beginning of the tensors, in their order.
   *
   * @throws ShapeError for more or larger ones than there is room for; ValidationError where a tensor has no memory of its own;
   *   DeviceLostError
   */
  upload(pieces: readonly Float32Array[]): void {
    this.#check(pieces);
    const { device } = this;
    device.throwIfLost();
    pieces.forEach((piece, i) => {
      const storage = this.#stateOf(i);
      storage.overwritten = device.sequence.next++;
      writeBuffer(device.gpu, { buffer: storage.buffer, offset: 0, size: piece.byteLength }, piece);
    });
  }

  /**
   * Submits the way back of the tensors' beginnings, into the same pieces; {@link free} tells when they are there.
   *
   * @throws as {@link upload} does
   */
  download(pieces: readonly Float32Array[]): void {
    this.#check(pieces);
    const { device } = this;
    device.throwIfLost();
    const usage = GPUBufferUsageFlags.MAP_READ | GPUBufferUsageFlags.COPY_DST;
    this.#back ??= device.createBuffer("staged pieces on their way back", 4 * this.arrays * this.elements, usage);
    const back = this.#back;
    const encoder = device.gpu.createCommandEncoder({ label: "staged pieces" });
    pieces.forEach((piece, i) => {
      encoder.copyBufferToBuffer(this.#stateOf(i).buffer, 0, back, 4 * i * this.elements, piece.byteLength);
    });
    device.submit(encoder.finish());
    this.#readBack = this.#collect(back, pieces);
    this.#readBack.catch(() => undefined); // whoever waits for the slot sees the error
  }

  async #collect(back: GPUBuffer, pieces: readonly Float32Array[]): Promise<void> {
    try {
      await this.device.waits.during(back.mapAsync(mapModeRead));
    } catch (cause) {
      throw this.device.health.describe(cause);
    }
    pieces.forEach((piece, i) => {
      piece.set(new Float32Array(back.getMappedRange(4 * i * this.elements, piece.byteLength)));
    });
    back.unmap();
  }

  #check(pieces: readonly Float32Array[]): void {
    const largest = Math.max(0, ...pieces.map(({ length }) => length));
    if (pieces.length > this.arrays || largest > this.elements)
      throw new ShapeError(
        `staging: ${pieces.length} pieces of up to ${largest} elements, expected at most ${this.arrays} of ${this.elements}`,
      );
  }

  /** A piece that went nowhere would be values of another step, in silence. */
  #stateOf(index: number): StateStorage {
    const storage = this.tensors[index]?.storage;
    if (storage?.kind === "state") return storage;
    throw new ValidationError(
      `staging: the tensor of piece ${index} is ${storage ? "recorded by a program" : "missing"}, expected state of the device; make a new slot`,
    );
  }

  /** Frees the memory. What is on its way back is waited for by {@link free} only. */
  async destroy(): Promise<void> {
    await this.#readBack.catch(() => undefined);
    for (const tensor of this.tensors) tensor.destroy();
    if (this.#back) this.device.destroyBuffer(this.#back);
    this.#back = undefined;
  }
}
