import { OptionError } from "../../../engine/index.ts";
import { RandomStream } from "../batches/shuffle_random.ts";

/** How the images of a batch are mixed in pairs; an alpha of 0 leaves its way out. */
export interface MixingOptions {
  /** λ of mixup is drawn from Beta(α, α) (arXiv 1710.09412). */
  readonly mixupAlpha: number;
  /** λ of CutMix likewise (arXiv 1905.04899). */
  readonly cutmixAlpha: number;
}

/** Rows and columns of a box, half open; empty where top is bottom or left is right. */
export type MixingBox = readonly [top: number, left: number, bottom: number, right: number];

/** One decision for a whole batch. */
export interface Mixing {
  readonly mode: "none" | "mixup" | "cutmix";
  /** Share of an image's own label; for CutMix that of the pixels outside the box. */
  readonly lambda: number;
  readonly box: MixingBox;
}

/** Length of {@link mixingValues}. */
export const mixingLength = 6;

const emptyBox: MixingBox = [0, 0, 0, 0];

/** Every image by itself. */
export const noMixing: Mixing = { mode: "none", lambda: 1, box: emptyBox };

/** A blend of whole images. @param lambda - share of the image itself; rounded to f32, as the published code does */
export function mixupOf(lambda: number): Mixing {
  return { mode: "mixup", lambda: Math.fround(lambda), box: emptyBox };
}

/** Where the box of CutMix is to be. */
export interface CutmixDraw {
  /** As drawn: the share that the box would leave if none of it were outside the image. */
  readonly lambda: number;
  readonly centreRow: number;
  readonly centreColumn: number;
}

/** Half the sides of the box that a λ asks for, in whole pixels; f32 at every step, as in the published code. */
export function cutmixHalves(lambda: number, [height, width]: readonly [number, number]): readonly [number, number] {
  const share = Math.fround(0.5 * Math.fround(Math.sqrt(Math.fround(1 - Math.fround(lambda)))));
  return [Math.floor(Math.fround(share * height)), Math.floor(Math.fround(share * width))];
}

/** A box cut out of the partner, and λ as the area that is left. @param size - height and width of the images, in pixels */
export function cutmixOf({ lambda, centreRow, centreColumn }: CutmixDraw, size: readonly [number, number]): Mixing {
  const [height, width] = size;
  const [halfHeight, halfWidth] = cutmixHalves(lambda, size);
  const [top, bottom] = [Math.max(0, centreRow - halfHeight), Math.min(height, centreRow + halfHeight)];
  const [left, right] = [Math.max(0, centreColumn - halfWidth), Math.min(width, centreColumn + halfWidth)];
  const area = (bottom - top) * (right - left);
  return { mode: "cutmix", lambda: Math.fround(1 - area / (height * width)), box: [top, left, bottom, right] };
}

/**
 * The decision for a batch, always one of those that are on: with both, CutMix in half of the batches.
 *
 * @param size - height and width of the images, in pixels
 * @param key - the decision depends on nothing else
 * @throws OptionError for a negative alpha
 */
export function drawMixing(
  { mixupAlpha, cutmixAlpha }: MixingOptions,
  size: readonly [number, number],
  { seed, step }: { readonly seed: number; readonly step: number },
): Mixing {
  for (const [name, alpha] of Object.entries({ mixupAlpha, cutmixAlpha })) {
    if (!(alpha >= 0 && Number.isFinite(alpha)))
      throw new OptionError(`mixing: ${name} is ${alpha}, expected 0 (off) or more; usual values are 0.8 and 1`);
  }
  if (mixupAlpha === 0 && cutmixAlpha === 0) return noMixing;
  const random = new RandomStream(seed, "mixing", step);
  const choice = random.unit();
  const cuts = mixupAlpha === 0 || (cutmixAlpha > 0 && choice < 0.5);
  const lambda = drawBeta(random, cuts ? cutmixAlpha : mixupAlpha);
  if (!cuts) return mixupOf(lambda);
  return cutmixOf({ lambda, centreRow: random.below(size[0]), centreColumn: random.below(size[1]) }, size);
}

/** As the kernels read it: share of the image in a blend, share of its label, and the box. */
export function mixingValues({ mode, lambda, box }: Mixing): Float32Array {
  return Float32Array.of(mode === "mixup" ? lambda : 1, lambda, ...box);
}

/** Beta(α, α) as X / (X + Y) of two gamma variables. */
function drawBeta(random: RandomStream, alpha: number): number {
  const [x, y] = [drawGamma(random, alpha), drawGamma(random, alpha)];
  return x + y > 0 ? x / (x + y) : Math.round(random.unit()); // both underflow for a tiny α, where λ is 0 or 1
}

/** Gamma(α, 1) by Marsaglia & Tsang 2000, with their boost for α below 1. */
function drawGamma(random: RandomStream, alpha: number): number {
  if (alpha < 1) return drawGamma(random, alpha + 1) * (1 - random.unit()) ** (1 / alpha);
  const d = alpha - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const normal = random.normal();
    const v = (1 + c * normal) ** 3;
    if (v > 0 && Math.log(1 - random.unit()) < 0.5 * normal ** 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}
