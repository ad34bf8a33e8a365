import type { ByteSource } from "./byte_source.ts";
import { countElements, elementBytes, type FileDType, type HostTensor, type TensorInfo } from "./host_tensor.ts";
import { type Layout, readView, readViewAsF32 } from "./strided_view.ts";

/** Where a tensor's elements begin; `close` releases what was opened to reach them. */
export interface Place {
  readonly source: ByteSource;
  readonly offsetBytes: number;
  close?(): Promise<void>;
}

/** A tensor in a file; nothing of it is read until it is asked for, and nothing is kept. */
export class StoredTensor implements TensorInfo {
  private readonly layout: Layout;
  private readonly open: () => Promise<Place>;
  readonly sizeBytes: number;

  constructor(layout: Layout, open: () => Promise<Place>) {
    this.layout = layout;
    this.open = open;
    this.sizeBytes = (countElements(layout.shape) ?? 0) * elementBytes(layout.dtype);
  }
  get dtype(): FileDType {
    return this.layout.dtype;
  }
  get shape(): readonly number[] {
    return this.layout.shape;
  }

  /** All elements, row-major. */
  async read(): Promise<HostTensor> {
    return this.visit((place) => readView({ ...this.layout, ...place }));
  }
  /** All elements, row-major, as floats; converted piece by piece. */
  async readAsF32(): Promise<Float32Array> {
    return this.visit((place) => readViewAsF32({ ...this.layout, ...place }));
  }

  private async visit<T>(read: (place: Place) => Promise<T>): Promise<T> {
    const place = await this.open();
    try {
      return await read(place);
    } finally {
      await place.close?.();
    }
  }
}
