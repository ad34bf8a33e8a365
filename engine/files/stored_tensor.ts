import type { ByteSource } from "./byte_source.ts";
import { countElements, elementBytes, type FileDType, type HostTensor, type TensorInfo } from "./host_tensor.ts";
import { type Layout, readView, readViewAsF32 } from "./strided_view.ts";

/** Where a tensor's elements begin; `close` releases what was opened to reach them. */
export interface Place {
  readonly source: ByteSource;
  readonly offsetBytes: number;
  close?(): Promise<void>;
}

/** Changes the sign of every value in place; only the types that `pickle_tensors.ts` marks come here. */
function negate({ dtype, data }: Pick<HostTensor, "dtype" | "data">): void {
  if (data instanceof Uint16Array && (dtype === "f16" || dtype === "bf16")) {
    for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) ^ 0x8000;
  } else if (data instanceof Float32Array || data instanceof Float64Array) {
    for (let i = 0; i < data.length; i++) data[i] = -(data[i] ?? 0);
  }
}

/** A tensor in a file; nothing of it is read until it is asked for, and nothing is kept. */
export class StoredTensor implements TensorInfo {
  private readonly layout: Layout;
  private readonly open: () => Promise<Place>;
  readonly sizeBytes: number;

  private readonly isNegated: boolean;

  /** @param marks - `isNegated`: floats whose sign is the other one than that stored */
  constructor(layout: Layout, open: () => Promise<Place>, marks: { readonly isNegated?: boolean } = {}) {
    this.layout = layout;
    this.isNegated = marks.isNegated ?? false;
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
    const tensor = await this.visit((place) => readView({ ...this.layout, ...place }));
    if (this.isNegated) negate(tensor);
    return tensor;
  }
  /** All elements, row-major, as floats; converted piece by piece. */
  async readAsF32(): Promise<Float32Array> {
    const data = await this.visit((place) => readViewAsF32({ ...this.layout, ...place }));
    if (this.isNegated) negate({ dtype: "f32", data });
    return data;
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
