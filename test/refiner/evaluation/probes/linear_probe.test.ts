import { describe, expect, it } from "vitest";
import { hostUniform } from "../../../../engine/index.ts";
import { vitConfig } from "../../../../models/index.ts";
import { imagesInMemory } from "../../../../refiner/data/index.ts";
import { EvaluationError, linearProbe, linearProbeSchema } from "../../../../refiner/evaluation/index.ts";
import { MemoryRunStore } from "../../../../refiner/training/run_store.ts";
import { testDevice } from "../../../device.ts";
import { randomEncoder } from "../../../models/random_encoder.ts";

const device = await testDevice();
const side = 8;
const vit = vitConfig({
  patchPixels: 4,
  width: 16,
  blocks: 2,
  heads: 2,
  channels: 1,
  heightPixels: side,
  widthPixels: side,
});
const model = randomEncoder(device, vit);

/** Squares of two greys with noise. */
function images(count: number, purpose: string) {
  const noise = hostUniform(count * side * side, { seed: 1, purpose });
  const pixels = Array.from({ length: count }, (_, image) => ({
    width: side,
    height: side,
    channels: 1 as const,
    data: Uint8Array.from(
      { length: side * side },
      (_, i) => 60 * (noise[image * side * side + i] ?? 0) + 100 * (image % 2),
    ),
  }));
  return imagesInMemory(pixels, { labels: pixels.map((_, i) => i % 2) });
}

const train = images(40, "train");
const test = images(20, "test");

async function probe(settings: object, more: object = {}) {
  const store = new MemoryRunStore();
  const notices: string[] = [];
  const config = linearProbeSchema.parse({ batch: 8, epochs: 3, rates: [0.01, 1], ...settings });
  const run = linearProbe({
    device,
    model,
    train,
    test,
    config,
    store,
    onNotice: (text) => notices.push(text),
    ...more,
  });
  for (;;) {
    const next = await run.next();
    if (next.done) return { ...next.value, store, notices };
  }
}

describe("a linear probe", () => {
  it.each([false, true])(
    "tells two greys apart, with cached features or not (%s)",
    { timeout: 120_000 },
    async (cache) => {
      const { chosen, predictions, images: counts, scores, finished, lastEpoch } = await probe({ cache });
      expect([finished, scores.length, lastEpoch?.epoch]).toEqual([true, 3, 3]);
      expect(counts).toEqual({ train: 36, heldOut: 4, test: 20 });
      expect([chosen?.heldOut, chosen?.test]).toEqual([1, 1]);
      expect(Array.from(predictions?.predicted ?? [])).toEqual(Array.from({ length: 20 }, (_, i) => i % 2));
      expect([...(predictions?.indices ?? [])]).toEqual(Array.from({ length: 20 }, (_, i) => i));
    },
  );

  it("has the same numbers where its features go to files, which it removes", { timeout: 120_000 }, async () => {
    const inMemory = await probe({ cache: true });
    const onDisk = await probe({ cache: true }, { featureMemoryBytes: 0 });
    expect(onDisk.scores).toEqual(inMemory.scores);
    expect(onDisk.predictions?.probabilities).toEqual(inMemory.predictions?.probabilities);
    expect(await onDisk.store.list("features")).toEqual([]);
    expect(onDisk.notices.at(-1)).toMatch(/features take 0\.0 MB of host memory, and 0\.0 MB of them on disk/);
    expect(inMemory.notices.at(-1)).not.toMatch(/on disk/);
  });

  it("trains on all images and holds none out when it chooses on the test images", { timeout: 120_000 }, async () => {
    const { images: counts, scores, chosen } = await probe({ select: "test", cache: true });
    expect(counts).toEqual({ train: 40, heldOut: 0, test: 20 });
    expect(scores.every(({ heldOut }) => heldOut === undefined)).toBe(true);
    expect(chosen?.heldOut).toBeUndefined();
  });

  it("has the same numbers with the heads of its sensitivity, which it encodes nothing for and never chooses", {
    timeout: 120_000,
  }, async () => {
    const loads = { train: 0, test: 0 };
    const counted = (side: "train" | "test", source: ReturnType<typeof images>) => ({
      ...source,
      load: (...given: Parameters<typeof source.load>) => {
        loads[side]++;
        return source.load(...given);
      },
    });
    const alone = await probe({ cache: true });
    const more = { sensitivity: true, train: counted("train", train), test: counted("test", test) };
    const found = await probe({ cache: true }, more);
    expect(loads).toEqual({ train: 40, test: 20 }); // each image once
    expect(found.compared.map(({ name }) => name)).toEqual(
      [0.01, 1].flatMap((rate) =>
        ["cls last1 raw", "cls+avg last1 raw", "avg last1"].map((input) => `${input}, rate ${rate}`),
      ),
    );
    const { heads, chosen, lastEpoch, testMaximum, predictions } = found;
    expect({ heads, chosen, lastEpoch, testMaximum, predictions }).toEqual({
      heads: alone.heads,
      chosen: alone.chosen,
      lastEpoch: alone.lastEpoch,
      testMaximum: alone.testMaximum,
      predictions: alone.predictions,
    });
    const own = found.scores.map(({ test: counts }) => counts.slice(0, heads.length));
    expect(own).toEqual(alone.scores.map(({ test: counts }) => counts));
    expect(found.scores.every(({ test: counts }) => counts.length === heads.length + found.compared.length)).toBe(true);
  });

  it("refuses a batch that is larger than the set before anything is encoded, and one class", async () => {
    await expect(probe({ batch: 64 })).rejects.toThrow(/36 training images are less than one batch of 64/);
    const one = { ...train, label: () => 0 };
    await expect(probe({}, { train: one, test: { ...test, label: () => 0 } })).rejects.toThrow(EvaluationError);
  });
});
