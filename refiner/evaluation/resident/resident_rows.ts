import type { Device, Tensor } from "../../../engine/index.ts";

/** A run of rows on the device. */
export interface ResidentPart {
  readonly firstRow: number;
  readonly count: number;
  /** `[count, width]` */
  readonly rows: Tensor;
}

/** Rows of a part start at multiples of 256 bytes for any width of four-byte numbers. */
const rowAlignment = 64;

export interface ResidentOptions {
  readonly rows: number;
  readonly width: number;
  /** Rows of a part, fewer where a binding of the device asks for it. */
  readonly partRows: number;
  /** Writes one row. */
  readonly fill: (row: number, into: Float32Array) => void;
  readonly name: string;
}

/** A matrix that stays on the device for many programs, in parts that each fit one binding. Call `destroy` when done. */
export class ResidentRows {
  readonly parts: readonly ResidentPart[];

  constructor(
    readonly device: Device,
    { rows, width, partRows, fill, name }: ResidentOptions,
  ) {
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
    const most = Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / (4 * width * rowAlignment));
    const perPart = Math.min(partRows, Math.max(most, 1) * rowAlignment);
    const parts: ResidentPart[] = [];
    for (let firstRow = 0; firstRow < rows; firstRow += perPart) {
      const count = Math.min(perPart, rows - firstRow);
      const values = new Float32Array(count * width);
      for (let row = 0; row < count; row++) fill(firstRow + row, values.subarray(row * width, (row + 1) * width));
      parts.push({ firstRow, count, rows: device.tensor(values, [count, width], "f32", name) });
    }
    this.parts = parts;
  }

  get sizeBytes(): number {
    return this.parts.reduce((sum, { rows }) => sum + rows.sizeBytes, 0);
  }

  destroy(): void {
    for (const { rows } of this.parts) rows.destroy();
  }
}
