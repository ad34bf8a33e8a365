import { concat, expand, OptionError, reshape, slice, type Tensor } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import type { ProbeGrid } from "../probes/probe_grid.ts";

/** The base learning rates of the published segmentation probes (MIM-Refiner, arXiv 2402.10093), for 256 images. */
export const segmentationRates: readonly number[] = [1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/** Blocks between those that are read, and how many at most. */
const everyBlocks = 4;
const mostBlocks = 4;

/** Every fourth block from the last one, at most four, lowest first: 2, 6 and 10 of 11; 11, 15, 19 and 23 of 24. */
export function segmentationBlocks({ blocks }: Pick<VitConfig, "blocks">): readonly number[] {
  const count = Math.min(mostBlocks, Math.ceil(blocks / everyBlocks));
  return Array.from({ length: count }, (_, i) => blocks - 1 - everyBlocks * (count - 1 - i));
}

/**
 * The grid of linear heads on patches: every rate on the patch tokens of the read blocks, and on the class token in front of them. An
 * encoder without a class token has the first only.
 *
 * @param rates - base learning rates, for 256 images
 * @throws OptionError for rates that are not above 0, none, or one twice
 */
export function segmentationGrid(
  vit: Pick<VitConfig, "width" | "classTokens" | "blocks">,
  rates: readonly number[] = segmentationRates,
): ProbeGrid {
  if (rates.length === 0 || rates.some((rate) => !(rate > 0 && Number.isFinite(rate))))
    throw new OptionError(`segmentation probe: the base rates are ${rates.join(", ")}; give numbers above 0`);
  if (new Set(rates).size < rates.length)
    throw new OptionError(`segmentation probe: the base rates ${rates.join(", ")} name one twice; give each once`);
  const part = vit.width * segmentationBlocks(vit).length;
  const hasClass = vit.classTokens > 0;
  const width = hasClass ? 2 * part : part;
  const feature = (name: string, from: number) => ({
    name,
    source: "every4" as const,
    columns: [from, width] as const,
  });
  const features = [feature("patch", width - part), ...(hasClass ? [feature("cls+patch", 0)] : [])];
  const heads = rates.flatMap((value, rate) =>
    features.map(({ name }, place) => ({ name: `${name}, rate ${value}`, feature: place, rate })),
  );
  return { rates, features, sources: new Map([["every4", width]]), heads };
}

/**
 * What the heads read, a row per patch: the class token of all blocks, then the patch's token of all blocks. The class token stands in
 * every row of its image, so that a batch norm over rows counts it once per position, as the publication's does.
 *
 * @param blocks - raw outputs `[images, tokens, width]`, lowest first
 * @returns `[images · patches, width of the source]`
 */
export function patchRows(blocks: readonly Tensor[], classTokens: number): Tensor {
  const joined = concat(blocks, 2);
  const [images = 1, tokens = 1, width = 1] = joined.shape;
  const count = tokens - classTokens;
  const patches = slice(joined, [undefined, [classTokens, tokens], undefined]);
  if (classTokens === 0) return reshape(patches, [images * count, width]);
  const first = slice(joined, [undefined, [0, 1], undefined]);
  return reshape(concat([expand(first, [images, count, width]), patches], 2), [images * count, 2 * width]);
}
