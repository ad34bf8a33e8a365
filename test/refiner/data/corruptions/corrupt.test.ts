import { describe, expect, it } from "vitest";
import { jpegCodec } from "../../../../refiner/data/decoding/jpeg_codec_node.ts";
import {
  type Corruption,
  corruptedImages,
  corruptImage,
  corruptionDraws,
  corruptions,
  imagesInMemory,
} from "../../../../refiner/data/index.ts";
import { picture } from "../views/render.ts";

const image = picture(41, 33, 5);
const corrupt = (corruption: Corruption, severity: number, seed = 1, of = image) =>
  corruptImage(of, { corruption, severity, draws: corruptionDraws(seed, corruption, severity, 0), jpeg: jpegCodec });

const distance = (data: Uint8Array, to = image.data): number =>
  data.reduce((sum, value, i) => sum + Math.abs(value - (to[i] ?? 0)), 0) / data.length;

describe.each(corruptions)("%s", (corruption) => {
  it("keeps the size, is repeated by its seed, and grows with its severity", async () => {
    const found = await Promise.all([1, 2, 3, 4, 5].map((severity) => corrupt(corruption, severity)));
    for (const { width, height, channels, data } of found)
      expect([width, height, channels, data.length]).toEqual([41, 33, 3, 41 * 33 * 3]);
    const distances = found.map(({ data }) => distance(data));
    expect(distances[0]).toBeGreaterThan(0);
    // Saturation falls at the first severities and rises at the others.
    const [from, to] = corruption === "saturate" ? [distances[2], distances[4]] : [distances[0], distances[4]];
    expect(to).toBeGreaterThan(from ?? 0);
    expect((await corrupt(corruption, 3)).data).toEqual(found[2]?.data);
    const isRandom = /noise|glass|fog/.test(corruption);
    expect((await corrupt(corruption, 3, 2)).data.join() !== found[2]?.data.join()).toBe(isRandom);
  });

  it("makes colour of grey, and takes an image of one pixel", async () => {
    const grey = await corrupt(corruption, 2, 1, picture(9, 7, 3, 1));
    expect([grey.channels, grey.data.length]).toEqual([3, 9 * 7 * 3]);
    const one = await corrupt(corruption, 5, 1, picture(1, 1, 3));
    expect(one.data).toHaveLength(3);
  });
});

describe("noise", () => {
  const flat = { width: 200, height: 200, channels: 3 as const, data: new Uint8Array(120_000).fill(128) };
  const moments = (data: Uint8Array): { mean: number; deviation: number } => {
    const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
    return { mean, deviation: Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length) };
  };

  it.each([
    ["gaussian_noise", 0.08 * 255],
    ["speckle_noise", 0.15 * 128],
    ["shot_noise", Math.sqrt((128 / 255) * 60) * (255 / 60)],
  ] as const)("has the deviation of its severity: %s", async (corruption, deviation) => {
    const found = moments((await corrupt(corruption, 1, 3, flat)).data);
    expect(found.mean).toBeCloseTo(127.5, 0); // truncated
    expect(found.deviation / deviation).toBeCloseTo(1, 1);
  });

  it("of impulses makes half of its share dark, half bright", async () => {
    const { data } = await corrupt("impulse_noise", 5, 3, flat);
    for (const level of [0, 255])
      expect(data.filter((value) => value === level).length / 120_000).toBeCloseTo(0.135, 2);
    expect(data.filter((value) => value === 128).length / 120_000).toBeCloseTo(0.73, 2);
  });
});

describe("a corrupted source", () => {
  const source = imagesInMemory([image, picture(41, 33, 6)], { labels: [1, 0] });

  it("keeps names, labels and order, and gives every image numbers of its own", async () => {
    const same = imagesInMemory([image, image], { labels: [1, 0] });
    const worse = corruptedImages(same, { corruption: "gaussian_noise", severity: 4, seed: 9 });
    expect([worse.length, worse.label(0), worse.label(1), worse.name(1)]).toEqual([2, 1, 0, same.name(1)]);
    const [first, second] = await Promise.all([worse.load(0), worse.load(1)]);
    expect(first.data).not.toEqual(second.data);
    expect((await worse.load(0)).data).toEqual(first.data);
  });

  it.each([
    [{ corruption: "jpeg_compression", severity: 1 }, "needs an encoder"],
    [{ corruption: "fog", severity: 6 }, "severity is 6, expected 1 … 5"],
    [JSON.parse('{"corruption":"snow","severity":1}'), "snow is not known; choose from gaussian_noise"],
    [JSON.parse('{"corruption":"toString","severity":1}'), "toString is not known"],
  ] as const)("refuses what cannot be made: %j", async (options, message) => {
    await expect(corruptedImages(source, options).load(0)).rejects.toThrow(message);
  });
});
