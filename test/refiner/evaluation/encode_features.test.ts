import { beforeAll, describe, expect, it } from "vitest";
import {
  initializeParameters,
  poolingTable,
  poolTokens,
  VisionTransformer,
  vitConfig,
  vitParameters,
} from "../../../models/index.ts";
import { BrokenImageError, imagesInMemory, type RgbImage } from "../../../refiner/data/index.ts";
import { encodeFeatures, knnOfBlocks, matchChannels, recommendedBlocks } from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const config = vitConfig({
  patchPixels: 4,
  width: 16,
  blocks: 3,
  heads: 2,
  channels: 1,
  heightPixels: 8,
  widthPixels: 8,
});
const model = new VisionTransformer(device, config);

/** Class 0 is bright on top, class 1 below; the rest varies with the index. */
function image(index: number, label: number, side = 8): RgbImage {
  const data = Uint8Array.from({ length: side * side }, (_, at) => {
    const isTop = at < (side * side) / 2;
    return (isTop === (label === 0) ? 160 : 20) + ((at * 7 + index * 13) % 40);
  });
  return { width: side, height: side, channels: 1, data };
}

function source(length: number, side = 8) {
  const labels = Array.from({ length }, (_, i) => i % 2);
  return imagesInMemory(
    labels.map((label, i) => image(i, label, side)),
    { labels },
  );
}

beforeAll(() => {
  initializeParameters(model.parameters, vitParameters(config), 3);
  model.writeSincosPositions();
});

describe("encodeFeatures", () => {
  it("takes fewer images at a time where the device's limits ask for it", { timeout: 60_000 }, async (context) => {
    const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
    if (limit > 2 ** 28) context.skip(`${device.info.name}: its limits are too large to reach in a test`);
    const tokens = 257;
    const mlpWidth = Math.ceil(limit / (4 * tokens * 2.5)); // two images fit, three do not
    const wide = vitConfig({
      ...config,
      width: 4,
      blocks: 1,
      heads: 1,
      mlpWidth,
      patchPixels: 1,
      heightPixels: 16,
      widthPixels: 16,
    });
    const large = new VisionTransformer(device, wide);
    initializeParameters(large.parameters, vitParameters(wide), 3);
    const images = source(3, 16);
    const together = await encodeFeatures(device, large, images, { batch: 3, mean: [0], deviation: [1] });
    const alone = await encodeFeatures(device, large, images, { batch: 1, mean: [0], deviation: [1] });
    large.destroy();
    expect(together.features[0]?.data).toEqual(alone.features[0]?.data);
    expect(together.features[0]?.rows).toBe(3);
  });

  it("gives the pooled outputs of all blocks, the last after the last norm", async () => {
    const images = source(5);
    const { features, blocks } = await encodeFeatures(device, model, images, { batch: 2, mean: [0], deviation: [1] });
    expect(blocks).toEqual([0, 1, "last"]);
    const all = await Promise.all([0, 1, 2, 3, 4].map((i) => images.load(i)));
    const pixels = device.tensor(
      Float32Array.from(all.flatMap(({ data }) => [...data].map((v) => v / 255))),
      [5, 1, 8, 8],
    );
    const encoded = model.forward(pixels, { taps: [0, 1] });
    const table = poolingTable(encoded.rows.program, encoded.segments, "cls", 1);
    const tokens = [encoded.taps.get(0), encoded.taps.get(1), encoded.rows];
    for (const [i, rows] of tokens.entries()) {
      if (!rows) throw new Error("not tapped");
      const expected = await poolTokens(rows, table).read();
      // The pixels agree to one rounding; features of order 1 follow within 100 roundings of the three blocks.
      features[i]?.data.forEach((value, at) => {
        expect(Math.abs(value - (expected[at] ?? 9))).toBeLessThan(100 * 2 ** -22);
      });
    }
  });

  it("does not depend on the batch", async () => {
    const [one, many] = await Promise.all([1, 7].map((batch) => encodeFeatures(device, model, source(7), { batch })));
    expect(one?.features).toEqual(many?.features);
  });

  it("resizes images of other sizes, also larger ones after small ones", async () => {
    const images = imagesInMemory([image(0, 0, 8), image(1, 0, 9), image(2, 1, 31), image(3, 1, 40)], {
      labels: [0, 0, 1, 1],
    });
    const { features, indices } = await encodeFeatures(device, model, images, { batch: 1, blocks: [2] });
    expect([...indices]).toEqual([0, 1, 2, 3]);
    expect(features[0]?.rows).toBe(4);
    expect(features[0]?.data.every(Number.isFinite)).toBe(true);
  });

  it("leaves broken images out and keeps the others' labels", async () => {
    const whole = source(6);
    const broken = {
      ...whole,
      load: (index: number) =>
        index === 2 ? Promise.reject(new BrokenImageError("image 2", "damaged")) : whole.load(index),
    };
    const { indices, labels } = await encodeFeatures(device, model, broken, { batch: 4, maxBad: 0.5 });
    expect([...indices]).toEqual([0, 1, 3, 4, 5]);
    expect([...labels]).toEqual([0, 1, 1, 0, 1]);
  });

  it("refuses a block that the model does not have", async () => {
    await expect(encodeFeatures(device, model, source(2), { blocks: [3] })).rejects.toThrow(/block 3 does not exist/);
    await expect(encodeFeatures(device, model, source(2), { blocks: [] })).rejects.toThrow(/choose at least one/);
  });
});

describe("matchChannels", () => {
  it("repeats grey and weighs colour as Pillow does", async () => {
    const grey = imagesInMemory([{ width: 2, height: 1, channels: 1, data: Uint8Array.of(7, 200) }]);
    expect((await matchChannels(grey, 3).load(0)).data).toEqual(Uint8Array.of(7, 7, 7, 200, 200, 200));
    const colour = imagesInMemory([{ width: 1, height: 1, channels: 3, data: Uint8Array.of(255, 0, 0) }]);
    expect((await matchChannels(colour, 1).load(0)).data).toEqual(Uint8Array.of(76)); // 0.299 · 255
  });
});

describe("knnOfBlocks", () => {
  it("gives one accuracy per block, first to last", async () => {
    const result = await knnOfBlocks(device, model, source(24), source(10), { k: 3 });
    expect(result.blocks).toEqual([0, 1, "last"]);
    expect(result.accuracy).toHaveLength(3);
    expect(result.accuracy[0]).toBe(1); // halves that differ by 140 grey levels
  });

  it("refuses more neighbours than training images", async () => {
    await expect(knnOfBlocks(device, model, source(4), source(2), { k: 20 })).rejects.toThrow(
      /k is 20 for a bank of 4/,
    );
  });
});

describe("recommendedBlocks", () => {
  it("are the peak and everything behind it", () => {
    expect(recommendedBlocks([0.2, 0.5, 0.8, 0.7])).toEqual([2, 3]);
    expect(recommendedBlocks([0.2, 0.8, 0.8])).toEqual([1, 2]);
    expect(() => recommendedBlocks([])).toThrow(/no accuracies/);
  });
});
