// Handwritten digits that come with the package: 8,000 to train on, 2,000 held out.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { firstLabelled } from "./idx_files.mjs";
import { labelledImages } from "./labelled_images.mjs";

const digits = (name) => fileURLToPath(new URL(`../cli/demo/digits/${name}-images-idx3-ubyte.gz`, import.meta.url));

const full = {
  sizes: { pixels: 28, patch: 4, channels: 1 },
  epochs: { mae: 12, stage2: 1, stage3: 12 },
  pretrain: { area: [0.6, 1], flip: 0 },
  refine: { flip: 0, resizeTo: 28, globalPixels: 20, temperature: 0.15, stage3LearningRate: 8e-3 },
};
/** A quarter of the images and of the patches. */
const brief = {
  ...full,
  trainImages: 2000,
  sizes: { ...full.sizes, patch: 7 },
  epochs: { mae: 16, stage2: 1, stage3: 5 },
  refine: { ...full.refine, globalPixels: 21, queueLength: 1024, ema: 0.95 },
};

/** Images and settings of the experiment. */
export async function prepare({ folder, seeds, isBrief }) {
  const { trainImages, ...settings } = isBrief ? brief : full;
  const test = digits("test");
  if (trainImages === undefined) return { train: digits("train"), test, seeds: seeds ?? [0, 1, 2], settings };
  await mkdir(folder, { recursive: true });
  const train = join(folder, "train-images-idx3-ubyte");
  await firstLabelled(digits("train"), train, trainImages);
  return { train, test, seeds: seeds ?? [0], settings };
}

export async function run(options) {
  return labelledImages({ folder: options.folder, ...(await prepare(options)) });
}
