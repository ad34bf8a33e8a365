// Fashion-MNIST from Debian's package dataset-fashion-mnist: the first 10,000 images to train on, all 10,000 test images.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { debianFolder } from "./debian_package.mjs";
import { firstLabelled } from "./idx_files.mjs";
import { labelledImages } from "./labelled_images.mjs";

const full = {
  trainImages: 10_000,
  testImages: 10_000,
  sizes: { pixels: 28, patch: 7, channels: 1 },
  epochs: { mae: 8, stage2: 1, stage3: 2 },
  pretrain: { area: [0.6, 1], flip: 0.5 },
  refine: { flip: 0.5, resizeTo: 28, globalArea: [0.6, 1], temperature: 0.15 },
};
/** A fifth of the images. */
const brief = {
  ...full,
  trainImages: 2000,
  testImages: 2000,
  epochs: { mae: 16, stage2: 1, stage3: 3 },
  refine: { ...full.refine, queueLength: 1024, ema: 0.95 },
};

/** Images and settings of the experiment. */
export async function prepare({ folder, seeds = [0], data, isBrief }) {
  const { trainImages, testImages, ...settings } = isBrief ? brief : full;
  const found = await debianFolder(folder, "dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", data);
  await mkdir(folder, { recursive: true });
  const train = join(folder, "train-images-idx3-ubyte");
  const test = join(folder, "t10k-images-idx3-ubyte");
  await firstLabelled(join(found, "train-images-idx3-ubyte.gz"), train, trainImages);
  await firstLabelled(join(found, "t10k-images-idx3-ubyte.gz"), test, testImages);
  return { train, test, seeds, settings };
}

export async function run(options) {
  return labelledImages({ folder: options.folder, ...(await prepare(options)) });
}
