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
/** From the demo's weights, which are those of the 12 epochs; fewer images, and the average follows sooner. */
const brief = {
  trainImages: 2048,
  testImages: 1000,
  settings: {
    ...full,
    start: fileURLToPath(new URL("../cli/demo/mae.safetensors", import.meta.url)),
    epochs: { mae: 12, stage2: 1, stage3: 3 },
    refine: { ...full.refine, queueLength: 2048, stage2Warmup: 0.25, stage3Warmup: 0.25, ema: 0.95, evaluate: false },
  },
};

/** Images and settings of the experiment. */
export async function prepare({ folder, seeds, isBrief }) {
  if (!isBrief) return { train: digits("train"), test: digits("test"), seeds: seeds ?? [0, 1, 2], settings: full };
  await mkdir(folder, { recursive: true });
  const [train, test] = ["train", "test"].map((name) => join(folder, `${name}-images-idx3-ubyte`));
  await firstLabelled(digits("train"), train, brief.trainImages);
  await firstLabelled(digits("test"), test, brief.testImages);
  return { train, test, seeds: seeds ?? [0], settings: brief.settings };
}

export async function run(options) {
  return labelledImages({ folder: options.folder, ...(await prepare(options)) });
}
