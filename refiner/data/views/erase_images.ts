import { purposeNumber, seedWords } from "../../../engine/core/host_random.ts";
import { checkSameShape, type Program, ShapeError, showShape, type Tensor } from "../../../engine/index.ts";
import { eraseKernel, eraseNoiseKernel } from "./augment_kernels.ts";
import type { Box } from "./parameter_table.ts";
import type { ErasingNoise } from "./view_config.ts";

/** A box that is erased, and what its noise depends on. */
export interface Erasure {
  readonly box: Box;
  readonly noise: ErasingNoise;
  readonly seed: number;
  /** Position in time, such as the epoch. */
  readonly step: number;
  /** Index of the image in the data set. */
  readonly sample: number;
}

/** Words (32 bits) per image. */
export const erasureWords = 12;

const forms = { zero: 0, perValue: 1, perChannel: 2 } as const; // erase_noise.wgsl

/** Writes row `row` of a table `[images, 12]` u32; what is not written erases nothing. */
export function writeErasure(table: Uint32Array, row: number, { box, noise, seed, step, sample }: Erasure): void {
  const place = [box.top, box.left, box.height, box.width];
  table.set([...place, forms[noise], sample, step >>> 0, 0, ...seedWords(seed), 0, 0], row * erasureWords);
}

/**
 * Noise for {@link eraseImages}: standard normal numbers inside the boxes, 0 elsewhere. An image's noise depends on seed, step and sample
 * of its row, not on the images beside it.
 *
 * @param shape - `[images, channels, height, width]`
 * @param erasures - `[rows, 12]` u32; see {@link writeErasure}
 */
export function erasingNoise(program: Program, shape: readonly number[], erasures: Tensor, firstRow = 0): Tensor {
  const noise = program.empty(shape);
  program.dispatch(eraseNoiseKernel, sizes(shape, firstRow), { erasures, noise }, groups(noise.size), {
    declarations: { purpose: `${purposeNumber("erase")}u` },
  });
  return noise;
}

/**
 * Replaces a box of every image by noise (random erasing, arXiv 1708.04896).
 *
 * @param images - `[images, channels, height, width]`
 * @param noise - of the same shape; only what lies in the boxes is read
 * @throws ShapeError
 */
export function eraseImages(program: Program, images: Tensor, erasures: Tensor, noise: Tensor, firstRow = 0): Tensor {
  if (images.shape.length !== 4)
    throw new ShapeError(
      `eraseImages: images are ${showShape(images.shape)}, expected [images, channels, height, width]`,
    );
  checkSameShape("eraseImages", "noise", noise.shape, images.shape);
  const y = program.empty(images.shape);
  program.dispatch(eraseKernel, sizes(images.shape, firstRow), { erasures, images, noise, y }, groups(y.size));
  return y;
}

function sizes([images = 1, channels = 1, height = 1, width = 1]: readonly number[], firstRow: number) {
  return { firstRow, channels, height, width, count: images * channels * height * width };
}

function groups(count: number): [number] {
  return [Math.min(4096, Math.ceil(count / 64))];
}
