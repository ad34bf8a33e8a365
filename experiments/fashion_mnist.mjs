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
/** Refined and judged on a fifth of the images that the encoder was pre-trained on. */
const brief = {
  ...full,
  refinedImages: 2048,
  testImages: 1000,
  refine: {
    ...full.refine,
    queueLength: 2048,
    stage2Warmup: 0.25,
    stage3Warmup: 0.25,
    ema: 0.95,
    evaluate: false,
  },
};

/** Images and settings of the experiment. */
export async function prepare({ folder, seeds = [0], data, isBrief }) {
  const { trainImages, refinedImages = trainImages, testImages, ...settings } = isBrief ? brief : full;
  const found = await debianFolder(folder, "dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", data);
  await mkdir(folder, { recursive: true });
  const cut = async (name, count, to) => {
    const file = join(folder, `${to}-images-idx3-ubyte`);
    await firstLabelled(join(found, `${name}-images-idx3-ubyte.gz`), file, count);
    return file;
  };
  const all = await cut("train", trainImages, "train");
  const train = refinedImages === trainImages ? all : await cut("train", refinedImages, "refined");
  const pretrained = { images: all, share: refinedImages / trainImages };
  return { train, test: await cut("t10k", testImages, "t10k"), seeds, settings: { ...settings, pretrained } };
}

export async function run(options) {
  return labelledImages({ folder: options.folder, ...(await prepare(options)) });
}
