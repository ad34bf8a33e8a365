// Fashion-MNIST from Debian's package dataset-fashion-mnist: the first 10,000 images to train on, all 10,000 test images.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { firstEntries, labelsOf } from "./idx_files.mjs";
import { labelledImages } from "./labelled_images.mjs";
import { exists } from "./steps.mjs";

const trainImages = 10_000;

export async function run({ folder, seeds = [0], data = "/usr/share/datasets/fashion-mnist" }) {
  const source = join(data, "train-images-idx3-ubyte.gz");
  if (!(await exists(source)))
    throw new Error(`no ${source}: install the package dataset-fashion-mnist, or give --data FOLDER`);
  await mkdir(folder, { recursive: true });
  const train = join(folder, "train-images-idx3-ubyte");
  await firstEntries(source, train, trainImages);
  await firstEntries(labelsOf(source), labelsOf(train), trainImages);
  return labelledImages({
    folder,
    seeds,
    train,
    test: join(data, "t10k-images-idx3-ubyte.gz"),
    settings: {
      sizes: { pixels: 28, patch: 7, channels: 1 },
      epochs: { mae: 8, stage2: 1, stage3: 2 },
      pretrain: { area: [0.6, 1], flip: 0.5 },
      refine: { flip: 0.5, resizeTo: 28, globalArea: [0.6, 1], temperature: 0.15 },
    },
  });
}
