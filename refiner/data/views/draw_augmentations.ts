import { philox, purposeNumber, seedWords } from "../../../engine/core/host_random.ts";
import {
  type AugmentOperation,
  type AugmentStep,
  augmentOperations,
  augmentWords,
  writeAugmentStep,
} from "./augment_steps.ts";
import type { DrawOptions } from "./draw_views.ts";
import { erasureWords, writeErasure } from "./erase_images.ts";
import type { Box } from "./parameter_table.ts";
import type { ErasingOptions, RandAugmentOptions, ViewConfig, ViewGroup, ViewOptions } from "./view_config.ts";

/** Uniform numbers in [0, 1) of a view's random block, four at a time. */
type Block = (index: number) => readonly number[];

/** Most operations per view: the rows of all views have as many places. 0 where nothing is augmented. */
export function augmentSteps(config: ViewConfig): number {
  return Math.max(0, ...allViews(config).map(({ view: { randAugment } }) => randAugment?.operations ?? 0));
}

export function erasesImages(config: ViewConfig): boolean {
  return allViews(config).some(({ view: { erase } }) => (erase?.probability ?? 0) > 0);
}

/**
 * Draws the steps of RandAugment for all views of a batch; a row depends on seed, step, view and sample, as those of `drawViewParameters`.
 *
 * @returns `[views · batch, steps, 16]` u32
 * @throws OptionError
 */
export function drawAugmentSteps(config: ViewConfig, options: DrawOptions): Uint32Array {
  const steps = augmentSteps(config);
  const { samples } = options;
  const table = new Uint32Array(allViews(config).length * samples.length * steps * augmentWords);
  for (const { view, group, row, block } of rowsOf(config, options, "randAugment")) {
    const size = { width: group.widthPixels, height: group.heightPixels };
    const words = table.subarray(row * steps * augmentWords, (row + 1) * steps * augmentWords);
    if (view.randAugment)
      drawSteps(filledAs(config, view.randAugment), block).forEach((step, place) => {
        if (step) writeAugmentStep(words, place, step, size);
      });
  }
  return table;
}

/** With a fill that has no colour where images have none: its luma (ITU-R BT.601). */
function filledAs({ channels }: ViewConfig, options: RandAugmentOptions): RandAugmentOptions {
  if (channels === 3) return options;
  const [red, green, blue] = options.fill;
  const grey = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
  return { ...options, fill: [grey, grey, grey] };
}

/** @returns undefined at the place of an operation that is left out */
function drawSteps(options: RandAugmentOptions, block: Block): (AugmentStep | undefined)[] {
  return Array.from({ length: options.operations }, (_, place) => {
    const [which = 0, apply = 0, sign = 0] = block(2 * place);
    const [radius = 0, angle = 0] = block(2 * place + 1);
    const normal = Math.sqrt(-2 * Math.log(1 - radius)) * Math.cos(2 * Math.PI * angle); // Box and Muller, 1958
    const operation = augmentOperations[Math.floor(which * augmentOperations.length)] ?? "autoContrast";
    return drawnStep(options, operation, { apply, sign, shift: options.deviation * normal });
  });
}

/**
 * A step by its draws: uniform numbers in [0, 1) for whether it is carried out and for its direction, and what is added to the magnitude.
 *
 * @returns undefined where it is left out
 */
export function drawnStep(
  { magnitude, probability, fill }: Pick<RandAugmentOptions, "magnitude" | "probability" | "fill">,
  operation: AugmentOperation,
  { apply, sign, shift }: { readonly apply: number; readonly sign: number; readonly shift: number },
): AugmentStep | undefined {
  if (apply >= probability) return undefined;
  const isNegative = operation === "rotate" ? sign > 0.5 : sign >= 0.5;
  return { operation, magnitude: Math.min(1, Math.max(0, magnitude + shift)), isNegative, fill };
}

/**
 * Draws the boxes of random erasing for all views of a batch.
 *
 * @returns `[views · batch, 12]` u32; rows of zeros erase nothing
 * @throws OptionError
 */
export function drawErasures(config: ViewConfig, options: DrawOptions): Uint32Array {
  const { seed, step, samples } = options;
  const table = new Uint32Array(allViews(config).length * samples.length * erasureWords);
  for (const { view, group, row, sample, block } of rowsOf(config, options, "erasure")) {
    const { erase } = view;
    const [apply = 0] = block(0);
    if (!erase || apply >= erase.probability) continue;
    const box = erasedBox(erase, { width: group.widthPixels, height: group.heightPixels }, (attempt) =>
      block(attempt + 1),
    );
    if (box) writeErasure(table, row, { box, noise: erase.noise, seed, step, sample });
  }
  return table;
}

const attempts = 10;

/**
 * The box of random erasing (arXiv 1708.04896, algorithm 1, with sides rounded halves to even): an attempt counts where both sides are smaller
 * than the image's.
 *
 * @param draw - four uniform numbers in [0, 1) for an attempt: area, ratio, top, left
 * @returns undefined where ten attempts failed
 */
export function erasedBox(
  { area, ratio }: Pick<ErasingOptions, "area" | "ratio">,
  { width, height }: { readonly width: number; readonly height: number },
  draw: (attempt: number) => readonly number[],
): Box | undefined {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const [u0 = 0, u1 = 0, u2 = 0, u3 = 0] = draw(attempt);
    const share = area[0] + u0 * (area[1] - area[0]);
    const logRatio = Math.log(ratio[0]) + u1 * (Math.log(ratio[1]) - Math.log(ratio[0]));
    const box = erasedSides(share, logRatio, { width, height });
    if (box.height >= height || box.width >= width) continue;
    const [top, left] = [Math.floor(u2 * (height - box.height + 1)), Math.floor(u3 * (width - box.width + 1))];
    return { top, left, ...box };
  }
  return undefined;
}

/** Sides in pixels of a box with a share of the image's area and the logarithm of its height over its width. */
export function erasedSides(
  share: number,
  logRatio: number,
  { width, height }: { readonly width: number; readonly height: number },
): { readonly width: number; readonly height: number } {
  const [pixels, ratio] = [share * width * height, Math.exp(logRatio)];
  return { height: roundHalfEven(Math.sqrt(pixels * ratio)), width: roundHalfEven(Math.sqrt(pixels / ratio)) };
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

function allViews({ global, local }: ViewConfig): { readonly view: ViewOptions; readonly group: ViewGroup }[] {
  return [global, ...(local ? [local] : [])].flatMap((group) => group.views.map((view) => ({ view, group })));
}

function rowsOf(config: ViewConfig, { seed, step, samples }: DrawOptions, name: string) {
  const [key, purpose] = [seedWords(seed), purposeNumber(name)];
  return allViews(config).flatMap(({ view, group }, number) =>
    samples.map(({ index }, b) => {
      const block: Block = (at) =>
        philox([number * blocksPerView + at, index, step >>> 0, purpose], key).map((word) => (word >>> 8) * 2 ** -24);
      return { view, group, row: number * samples.length + b, sample: index, block };
    }),
  );
}

const blocksPerView = 32;
