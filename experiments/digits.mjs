// Handwritten digits that come with the package: 8,000 to train on, 2,000 held out.
import { fileURLToPath } from "node:url";
import { labelledImages } from "./labelled_images.mjs";

const digits = (name) => fileURLToPath(new URL(`../cli/demo/digits/${name}-images-idx3-ubyte.gz`, import.meta.url));

export function run({ folder, seeds = [0, 1, 2] }) {
  return labelledImages({
    folder,
    seeds,
    train: digits("train"),
    test: digits("test"),
    settings: {
      sizes: { pixels: 28, patch: 4, channels: 1 },
      epochs: { mae: 12, stage2: 1, stage3: 12 },
      pretrain: { area: [0.6, 1], flip: 0 },
      refine: { flip: 0, resizeTo: 28, globalPixels: 20, temperature: 0.15, stage3LearningRate: 8e-3 },
    },
  });
}
