// k-NN on raw pixels: the baseline that needs no encoder.
import { openDevice } from "mimrefine/engine";
import { knnAccuracy } from "mimrefine/refiner";

/** Accuracies (0 … 1) with pixels as features of two labelled image sources: scaled per dimension, and as they are. */
export async function pixelAccuracy(train, test, k = 20) {
  const device = await openDevice();
  try {
    const [bank, queries] = [await pixelsOf(train), await pixelsOf(test)];
    return {
      standardised: await knnAccuracy(device, bank, queries, { k }),
      plain: await knnAccuracy(device, bank, queries, { k, standardise: false }),
    };
  } finally {
    device.close();
  }
}

async function pixelsOf(source) {
  const images = await Promise.all(Array.from({ length: source.length }, (_, i) => source.load(i)));
  const columns = images[0].data.length;
  const data = new Float32Array(images.length * columns);
  for (const [i, image] of images.entries()) data.set(image.data.map(Number), i * columns);
  return {
    features: { rows: images.length, columns, data },
    labels: Int32Array.from(images, (_, i) => source.label(i) ?? -1),
  };
}
