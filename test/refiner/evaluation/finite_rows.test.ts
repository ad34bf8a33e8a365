import { expect, it } from "vitest";
import { vitConfig } from "../../../models/index.ts";
import { imagesInMemory, type RgbImage } from "../../../refiner/data/index.ts";
import {
  encodeFeatures,
  FeatureExtractor,
  knnOfBlocks,
  NonFiniteFeaturesError,
  streamFeatures,
} from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";

const device = await testDevice();
const side = 16;
const model = randomEncoder(
  device,
  vitConfig({ patchPixels: 4, width: 32, blocks: 2, heads: 2, heightPixels: side, widthPixels: side }),
);
/** White is 1e38 by this scale and overflows in the first product, black is 0. */
const scale = { mean: [0, 0, 0], deviation: [1e-38, 1e-38, 1e-38] };

function plain(level: number): RgbImage {
  return { width: side, height: side, channels: 3, data: new Uint8Array(3 * side * side).fill(level) };
}

/** Black images, but for white ones at some places. */
function source(length: number, white: readonly number[]) {
  const images = Array.from({ length }, (_, index) => plain(white.includes(index) ? 255 : 0));
  const labels = images.map((_, index) => index % 2);
  return { ...imagesInMemory(images, { labels }), name: (index: number) => `photos/${index}.png` };
}

it("features that are not finite are refused at the end, naming all images, and none is given out", async () => {
  const extractor = new FeatureExtractor(model, scale);
  const given: number[] = [];
  const reading = async (): Promise<void> => {
    const images = source(5 * extractor.batch, [extractor.batch + 1, 3 * extractor.batch]);
    for await (const { indices, features } of streamFeatures(extractor, images)) {
      given.push(...indices);
      expect(features.every((values) => values.every(Number.isFinite))).toBe(true);
    }
  };
  const names = `photos/${extractor.batch + 1}.png, photos/${3 * extractor.batch}.png`;
  await expect(reading()).rejects.toThrow(
    `2 of ${5 * extractor.batch} images have features that are not finite (NaN or infinite): ${names}; the weights are damaged`,
  );
  expect(given).toEqual(Array.from({ length: extractor.batch }, (_, index) => index));
  extractor.destroy();
});

it("an encoder that gives nothing finite is refused after its first images", async () => {
  const extractor = new FeatureExtractor(model, scale);
  let seen = 0;
  const all = Array.from({ length: 20 * extractor.batch }, (_, index) => index);
  const reading = async (): Promise<void> => {
    const onProgress = (done: number): void => {
      seen = done;
    };
    const options = { batch: extractor.batch, onProgress };
    for await (const _ of streamFeatures(extractor, source(all.length, all), options)) seen = Number.NaN;
  };
  await expect(reading()).rejects.toThrow(
    `${extractor.batch} of the first ${extractor.batch} images have features that are not finite`,
  );
  expect(seen).toBe(0);
  extractor.destroy();
});

it("a single run refuses them by their places", async () => {
  const extractor = new FeatureExtractor(model, scale);
  const read = await extractor.submit([plain(0), plain(255), plain(0)]);
  const refused = await read().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(NonFiniteFeaturesError);
  expect(refused).toMatchObject({ places: [1] });
  extractor.destroy();
});

it("evaluations refuse them, too, whichever block they come from", async () => {
  const message = "1 of 6 images has features that are not finite (NaN or infinite): photos/3.png";
  await expect(encodeFeatures(device, model, source(6, [3]), { ...scale, blocks: [0] })).rejects.toThrow(message);
  await expect(knnOfBlocks(device, model, source(6, []), source(6, [3]), { ...scale, k: 1 })).rejects.toThrow(message);
});
