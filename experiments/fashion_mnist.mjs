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
/** Fewer images, and an average that follows sooner. */
const brief = {
  ...full,
  trainImages: 4096,
  labelled: 1024,
  testImages: 1000,
  epochs: { mae: 8, stage2: 0.5, stage3: 2 },
  refine: { ...full.refine, stage2Warmup: 0.1, stage3Warmup: 0.25, ema: 0.95, evaluate: false },
};

/** Images and settings of the experiment; `images` are those of the trainings where only some of them are labelled. */
export async function prepare({ folder, seeds = [0], data, isBrief }) {
  const { trainImages, labelled = trainImages, testImages, ...settings } = isBrief ? brief : full;
  const found = await debianFolder(folder, "dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", data);
  await mkdir(folder, { recursive: true });
  const cut = async (name, count, to) => {
    const file = join(folder, `${to}-images-idx3-ubyte`);
    await firstLabelled(join(found, `${name}-images-idx3-ubyte.gz`), file, count);
    return file;
  };
  const images = await cut("train", trainImages, "train");
  const train = labelled === trainImages ? images : await cut("train", labelled, "labelled");
  return { images, train, test: await cut("t10k", testImages, "t10k"), seeds, settings };
}

export async function run(options) {
  return labelledImages({ folder: options.folder, ...(await prepare(options)) });
}
