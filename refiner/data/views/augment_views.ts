import type { Program, Tensor } from "../../../engine/index.ts";
import { augmentPixelsKernel, augmentTablesKernel } from "./augment_kernels.ts";

/** Views of one size, as words of four bytes. */
export interface AugmentedGroup {
  readonly heightPixels: number;
  readonly widthPixels: number;
  readonly batch: number;
  readonly views: number;
  /** Row of `drawn` at which the views begin. */
  readonly firstRow: number;
}

const pixelsPerGroup = 1024; // augment_pixels.wgsl

/**
 * Records the steps of RandAugment on views (uint8, packed red, green, blue): every operation gives the bytes of Pillow 9.4. Two
 * dispatches per step.
 *
 * @param pixels - `[views · batch, height, width]` u32
 * @param drawn - `[rows, steps, 16]` u32; see `drawAugmentSteps`
 */
export function augmentViews(program: Program, pixels: Tensor, drawn: Tensor, group: AugmentedGroup): Tensor {
  const { heightPixels: height, widthPixels: width, batch, views, firstRow } = group;
  const [, steps = 1] = drawn.shape;
  const count = height * width;
  let now = pixels;
  for (let step = 0; step < steps; step++) {
    const place = { firstRow, batch, steps, step };
    const tables = program.empty([views * batch, 256], "u32");
    program.dispatch(augmentTablesKernel, { ...place, count }, { drawn, pixels: now, tables }, [batch, views]);
    const augmented = program.empty(pixels.shape, "u32");
    program.dispatch(augmentPixelsKernel, { ...place, width, height }, { drawn, tables, pixels: now, augmented }, [
      Math.ceil(count / pixelsPerGroup),
      batch,
      views,
    ]);
    now = augmented;
  }
  return now;
}
