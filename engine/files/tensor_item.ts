import { ShapeError } from "../core/errors.ts";
import type { ByteSink } from "./byte_sink.ts";
import { bytesOf, countElements, elementBytes, type FileDType, type HostTensor } from "./host_tensor.ts";

/** A tensor to be written: known by type and shape now, its elements asked for when their turn comes. */
export class TensorItem {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  readonly read: () => HostTensor | Promise<HostTensor>;

  /** @throws ShapeError if the shape holds anything but whole numbers from 0 on */
  constructor(dtype: FileDType, shape: readonly number[], read: () => HostTensor | Promise<HostTensor>) {
    const count = countElements(shape);
    if (count === undefined) throw new ShapeError(`TensorItem: [${shape}] is not a shape`);
    this.dtype = dtype;
    this.shape = shape;
    this.sizeBytes = count * elementBytes(dtype);
    this.read = read;
  }

  static of(tensor: HostTensor): TensorItem {
    return new TensorItem(tensor.dtype, tensor.shape, () => tensor);
  }

  /**
   * Reads the elements and hands their little-endian bytes to `sink`.
   *
   * @throws ShapeError if what was read is not what was announced
   */
  async writeTo(sink: ByteSink, name: string): Promise<void> {
    const tensor = await this.read();
    if (tensor.dtype !== this.dtype || tensor.sizeBytes !== this.sizeBytes) {
      throw new ShapeError(
        `write: tensor ${JSON.stringify(name)} was announced as ${this.dtype} [${this.shape}] and read as ${tensor.dtype} [${tensor.shape}]`,
      );
    }
    await sink.write(bytesOf(tensor));
  }
}
