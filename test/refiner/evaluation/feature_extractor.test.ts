import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { hostUniform } from "../../../engine/index.ts";
import { VisionTransformer, vitConfig } from "../../../models/index.ts";
import { decodeImage } from "../../../refiner/data/decoding/decode_node.ts";
import { BrokenImageError, type ImageSource, imagesInMemory, type RgbImage } from "../../../refiner/data/index.ts";
import {
  collectFeatures,
  type FeatureBlock,
  FeatureExtractor,
  type FeatureOptions,
  streamFeatures,
} from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";

const device = await testDevice();
const config = vitConfig({ patchPixels: 4, width: 32, blocks: 3, heads: 2, heightPixels: 16, widthPixels: 16 });
const model = randomEncoder(device, config);
const blocks: readonly FeatureBlock[] = [0, 1, 2, "last"];

function noise(index: number, width: number, height: number): RgbImage {
  const values = hostUniform(3 * width * height, { seed: index, purpose: "image" });
  return { width, height, channels: 3, data: Uint8Array.from(values, (value) => 256 * value) };
}

const images = imagesInMemory(Array.from({ length: 11 }, (_, i) => noise(i, 16 + 3 * i, 50 - 2 * i)));

async function featuresOf(source: ImageSource, options: FeatureOptions = {}) {
  const extractor = new FeatureExtractor(model, options);
  return collectFeatures(extractor, source).finally(() => extractor.destroy());
}

/** Images that go through the decoder, as files do. */
function asPng(source: ImageSource): ImageSource {
  return {
    ...source,
    load: async (index, options) => {
      const { data, width, height } = await source.load(index);
      const bytes = await sharp(data, { raw: { width, height, channels: 3 } })
        .png()
        .toBuffer();
      return decodeImage({ bytes }, { ...options, channels: 3 });
    },
  };
}

describe("the feature extractor", () => {
  it("gives a block the same bits alone as among others", async () => {
    const together = await featuresOf(images, { blocks });
    for (const [i, block] of blocks.entries()) {
      const alone = await featuresOf(images, { blocks: [block] });
      expect(alone.features[0]).toEqual(together.features[i]);
    }
    expect(together.features[2]).not.toEqual(together.features[3]); // the last norm stands between them
  });

  it("gives an image the same bits whoever is in its group, and wherever", async () => {
    const { features } = await featuresOf(images, { blocks: ["last"] });
    const extractor = new FeatureExtractor(model, { blocks: ["last"] });
    const one = await images.load(4);
    const others = await Promise.all([7, 8, 9].map((index) => images.load(index)));
    const [alone = new Float32Array()] = await (await extractor.submit([one]))();
    const [last = new Float32Array()] = await (await extractor.submit([...others, one]))();
    extractor.destroy();
    const expected = features[0]?.data.subarray(4 * 32, 5 * 32);
    expect(alone).toEqual(expected);
    expect(last.subarray(3 * 32)).toEqual(expected);
  });

  it("resizes from full resolution what is up to four times the resized side", async () => {
    const within = imagesInMemory([noise(1, 72, 90)]); // resized to 18
    const larger = imagesInMemory([noise(1, 74, 90)]);
    expect((await featuresOf(asPng(within))).features).toEqual((await featuresOf(within)).features);
    expect((await featuresOf(asPng(larger))).features).not.toEqual((await featuresOf(larger)).features);
  });

  it("leaves images of exactly the model's size as they are, and shows it other sizes when asked to", async () => {
    const exact = imagesInMemory([noise(3, 16, 16)]);
    expect(await featuresOf(exact)).toEqual(await featuresOf(exact, { shorterSidePixels: 16 }));
    expect(await featuresOf(exact)).not.toEqual(await featuresOf(exact, { shorterSidePixels: 18 }));
    const extractor = new FeatureExtractor(model, { imagePixels: 24 });
    expect([extractor.grid, extractor.shorterSidePixels]).toEqual([{ rows: 6, columns: 6 }, 27]);
  });

  it("shows a model of oblong images those, not squares", async () => {
    const oblong = randomEncoder(device, { ...config, widthPixels: 24 });
    const extractor = new FeatureExtractor(oblong);
    expect(extractor.grid).toEqual({ rows: 4, columns: 6 });
    const { features } = await collectFeatures(extractor, images);
    extractor.destroy();
    oblong.destroy();
    expect(features.every(({ data }) => data.every(Number.isFinite))).toBe(true);
  });

  it("squashes the whole image to its size when it is told to, whatever its shape", async () => {
    // Dark in the left quarter, which a crop in the centre of the wide image does not see.
    const stripes = (width: number, height: number) => ({
      width,
      height,
      channels: 3 as const,
      data: Uint8Array.from({ length: 3 * width * height }, (_, i) =>
        Math.floor(i / 3) % width < width / 4 ? 40 : 200,
      ),
    });
    const [wide, square] = [stripes(64, 16), stripes(16, 16)].map((image) => imagesInMemory([image]));
    if (!wide || !square) throw new Error("two images were made");
    const [squashed, plain, cropped] = [
      await featuresOf(wide, { fit: "squash", blocks: ["last"] }),
      await featuresOf(square, { fit: "squash", blocks: ["last"] }),
      await featuresOf(wide, { blocks: ["last"] }),
    ].map(({ features }) => Array.from(features[0]?.data ?? []));
    const distance = (a: number[] = [], b: number[] = []) =>
      Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? 0))));
    expect(plain?.some((value) => value !== 0)).toBe(true);
    expect(distance(squashed, plain)).toBeLessThan(distance(cropped, plain) / 3);
  });

  it("puts class token and mean patch one behind the other, and patches in a row", async () => {
    const [cls, avg, both, patches] = await Promise.all(
      (["cls", "avg", "cls+avg", "patches"] as const).map((pooling) => featuresOf(images, { pooling, blocks: [1] })),
    );
    const row = (from: typeof cls, index: number): number[] => {
      const { columns = 0, data = [] } = from?.features[0] ?? {};
      return Array.from(data.slice(index * columns, (index + 1) * columns));
    };
    for (const index of [0, 10]) {
      expect(row(both, index)).toEqual([...row(cls, index), ...row(avg, index)]);
      const tokens = row(patches, index);
      expect(tokens).toHaveLength(16 * 32);
      row(avg, index).forEach((value, column) => {
        const mean = tokens.filter((_, at) => at % 32 === column).reduce((sum, token) => sum + token / 16, 0);
        expect(Math.abs(value - mean)).toBeLessThan(16 * 2 ** -22); // 16 sums of values up to 4
      });
    }
  });

  it("names pooling that the model does not allow, and groups that are too large", async () => {
    const bare = randomEncoder(device, { ...config, classTokens: 0 });
    expect(() => new FeatureExtractor(bare, { pooling: "cls+avg" })).toThrow(/no class token.*pool with avg/);
    expect(new FeatureExtractor(bare).pooling).toBe("avg");
    bare.destroy();
    const extractor = new FeatureExtractor(model);
    const many = Array.from({ length: extractor.batch + 1 }, (_, i) => noise(i, 8, 8));
    await expect(extractor.submit(many)).rejects.toThrow(`${many.length} images; give 1 … ${extractor.batch}`);
    await expect(extractor.submit([])).rejects.toThrow("0 images");
  });

  it("fits a ViT-L at 512 pixels into the device's limits", () => {
    const large = new VisionTransformer(device, vitConfig("l16"));
    const extractor = new FeatureExtractor(large, { imagePixels: 512, blocks: ["last"] });
    const widestBytes = 4 * 4096 * 1025; // per image, behind the first layer of an MLP
    const fitting = Math.floor(Math.min(device.limits.maxStorageBufferBindingSize, 8 * widestBytes) / widestBytes);
    expect(extractor.batch).toBe(2 ** Math.floor(Math.log2(fitting))); // 4 at 128 MiB
    expect(extractor.memory.activations).toBeGreaterThan(extractor.batch * widestBytes);
    large.destroy();
  });

  it("takes fewer images at a time where they are large, with the same bits", { timeout: 120_000 }, async (context) => {
    const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
    if (limit > 2 ** 28) context.skip(`${device.info.name}: its limits are too large to reach in a test`);
    const height = Math.floor(limit / (2.5 * 3 * 512)); // two of them have room, three do not
    const tall = noise(1, 512, 64);
    const data = new Uint8Array(3 * 512 * height).map((_, at) => tall.data[at % tall.data.length] ?? 0);
    const source = imagesInMemory([{ width: 512, height, channels: 3, data }, noise(2, 20, 20)]);
    const repeated: ImageSource = { ...source, length: 4, load: (index) => source.load(index === 3 ? 1 : 0) };
    const { features, indices } = await featuresOf(repeated, { blocks: ["last"] });
    expect([...indices]).toEqual([0, 1, 2, 3]);
    const rows = [0, 1, 2, 3].map((index) => features[0]?.data.slice(32 * index, 32 * (index + 1)));
    expect(rows[1]).toEqual(rows[0]);
    expect(rows[2]).toEqual(rows[0]);
    const small = await featuresOf(imagesInMemory([noise(2, 20, 20)]), { blocks: ["last"] });
    expect(rows[3]).toEqual(small.features[0]?.data);
  });
});

describe("streamFeatures", () => {
  it("tells which images the rows belong to, and how many are done", async () => {
    const labelled = { ...images, label: (index: number) => (index === 5 ? undefined : index % 3) };
    const broken: ImageSource = {
      ...labelled,
      load: (index, options) =>
        index === 2 ? Promise.reject(new BrokenImageError("image 2", "damaged")) : images.load(index, options),
    };
    const extractor = new FeatureExtractor(model);
    const progress: number[] = [];
    const found: [number, number][] = [];
    const reading = { maxBad: 0.5, batch: 3, onProgress: (done: number) => progress.push(done) };
    for await (const { indices, labels, features } of streamFeatures(extractor, broken, reading)) {
      indices.forEach((index, i) => {
        found.push([index, labels[i] ?? Number.NaN]);
      });
      expect(features.map(({ length }) => length)).toEqual(Array(3).fill(32 * indices.length));
    }
    extractor.destroy();
    const expected = [0, 1, 3, 4, 5, 6, 7, 8, 9, 10].map((index) => [index, index === 5 ? -1 : index % 3]);
    expect(found).toEqual(expected);
    expect(progress.at(-1)).toBe(10);
  });

  it("ends when it is told to", async () => {
    const stop = new AbortController();
    const extractor = new FeatureExtractor(model);
    const run = async (): Promise<void> => {
      for await (const _ of streamFeatures(extractor, images, { batch: 1, signal: stop.signal })) stop.abort();
    };
    stop.abort(new Error("enough"));
    await expect(run()).rejects.toThrow("enough");
    extractor.destroy();
  });
});
