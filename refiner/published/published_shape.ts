import { type VitConfig, vitPresets } from "../../models/index.ts";
import type { PublishedShape } from "./published_figures.ts";

type Sizes = Pick<VitConfig, "width" | "blocks" | "patchPixels">;

const shapes: Readonly<Record<PublishedShape, Sizes>> = {
  "L/16": vitPresets.l16,
  "H/14": vitPresets.h14,
  "H/16": { ...vitPresets.h14, patchPixels: 16 },
  "g/14": { width: 1536, blocks: 40, patchPixels: 14 }, // DINOv2, arXiv 2304.07193, table 17
  "2B/14": vitPresets.twob14,
};

/** The size of an encoder as MIM-Refiner's result tables (arXiv 2402.10093) name it; undefined for one that they do not have. */
export function publishedShape({ width, blocks, patchPixels }: Sizes): PublishedShape | undefined {
  for (const shape of ["L/16", "H/14", "H/16", "g/14", "2B/14"] as const) {
    const one = shapes[shape];
    if (one.width === width && one.blocks === blocks && one.patchPixels === patchPixels) return shape;
  }
  return undefined;
}
