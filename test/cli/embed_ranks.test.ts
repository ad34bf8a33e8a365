import { expect, it } from "vitest";
import { rankedFeatures } from "../../cli/embedding/ranked_features.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { BrokenImageError, type ImageSource, imagesInMemory } from "../../refiner/data/index.ts";
import { FeatureExtractor } from "../../refiner/evaluation/index.ts";
import { oneRank } from "../../refiner/exchange/exchange.ts";
import { testDevice } from "../device.ts";
import { localRanks } from "../refiner/exchange/local_ranks.ts";

const device = await testDevice();
const config = vitConfig({ patchPixels: 4, width: 12, blocks: 1, heads: 3, heightPixels: 8, widthPixels: 8 });
const model = new VisionTransformer(device, config);
initializeParameters(model.parameters, vitParameters(config), 1);
const extractor = new FeatureExtractor(model);

function images(broken: readonly number[]): ImageSource {
  const whole = imagesInMemory(
    Array.from({ length: 37 }, (_, i) => ({
      ...{ width: 8, height: 8, channels: 3 as const },
      data: Uint8Array.from({ length: 192 }, (__, k) => (k * (i + 3)) & 255),
    })),
  );
  const load: ImageSource["load"] = async (index, options) => {
    if (broken.includes(index)) throw new BrokenImageError(`image ${index}`, "it is torn");
    return whole.load(index, options);
  };
  return { ...whole, length: whole.length, label: (i) => whole.label(i), name: (i) => whole.name(i), load };
}

/** What the first of some ranks gets, and hears of broken images. */
async function embedded(ranks: number, broken: readonly number[], maxBad = 0.5) {
  const exchanges = ranks === 1 ? [oneRank] : localRanks(ranks).exchanges;
  const all = exchanges.map(async (exchange) => {
    const rows: number[] = [];
    const indices: number[] = [];
    const told: string[] = [];
    const reading = { batch: 1, maxBad, onBroken: (error: Error) => told.push(error.message) };
    for await (const one of rankedFeatures(extractor, images(broken), reading, exchange)) {
      indices.push(...one.indices);
      rows.push(...one.features.flatMap((values) => Array.from(values)));
    }
    return { rows, indices, told };
  });
  return Promise.all(all);
}

it("ranks embed as one process does, among broken images, and where all of one rank's are", async () => {
  const broken = [3, 17, ...Array.from({ length: 8 }, (_, i) => 8 + i)];
  const [one] = await embedded(1, broken);
  for (const ranks of [2, 3]) {
    const [first, ...others] = await embedded(ranks, broken);
    expect(first).toEqual(one);
    for (const other of others) expect(other.rows).toEqual([]);
  }
  expect(one?.indices).toHaveLength(37 - 10);
});

it("too many broken images end all ranks as one process", async () => {
  const text = /9 of 37 images are broken/;
  for (const ranks of [1, 2]) await expect(embedded(ranks, [1, 2, 3, 4, 5, 6, 20, 21, 36], 0.1)).rejects.toThrow(text);
});
