import { describe, expect, it } from "vitest";
import { recordProgram } from "../../../engine/index.ts";
import { maxError, valuesOf } from "../../../engine/testing/index.ts";
import { Classifier, vitConfig } from "../../../models/index.ts";
import {
  accuracyOnClasses,
  type ClassPrediction,
  classifierAccuracy,
  classifierPredictions,
  classifyImages,
  EvaluationError,
  imagesInMemory,
} from "../../../refiner/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";

const device = await testDevice();
const side = 8;
const classNames = ["a", "b", "c", "d"];
const [mean, deviation] = [[0.4], [0.3]];

async function classifier(pooling: "cls" | "avg" = "cls"): Promise<Classifier> {
  const sizes = { patchPixels: 4, width: 8, blocks: 2, heads: 2, channels: 1 };
  const config = vitConfig({ ...sizes, heightPixels: side, widthPixels: side });
  const model = new Classifier(device, config, { classNames, pooling, pixels: side, mean, deviation });
  const encoder = randomEncoder(device, config);
  await model.copyEncoder(encoder);
  encoder.destroy();
  device.write(model.parameters.get("head.weight"), valuesOf("normal", 3, 4 * 8));
  return model;
}

/** 70 images, more than the device sees at a time. */
const samples = Array.from({ length: 70 }, (_, image) =>
  Uint8Array.from(valuesOf("normal", image + 1, side * side), (value) => Math.abs(Math.round(80 * value)) % 256),
);
const source = (labelOf: (image: number) => number | undefined = () => undefined) =>
  imagesInMemory(
    samples.map((data) => ({ width: side, height: side, channels: 1 as const, data })),
    { labels: [...samples.keys()].map(labelOf) },
  );

/** Logits of the model on the pixels, without the way of the images. */
async function directLogits(model: Classifier): Promise<number[][]> {
  const shape = [samples.length, 1, side, side];
  const program = recordProgram(device, (p) => ({ y: model.forward(p.input("x", shape)) }), { inference: true });
  const x = Float32Array.from(
    samples.flatMap((data) => [...data]),
    (value) => (value / 255 - 0.4) / 0.3,
  );
  const { y = [] } = await (await program.run({ x }, ["y"])).read();
  program.destroy();
  const all = [...y];
  return samples.map((_, image) => all.slice(4 * image, 4 * image + 4));
}

async function predictions(model: Classifier, top?: number): Promise<ClassPrediction[]> {
  const all: ClassPrediction[] = [];
  for await (const one of classifyImages(model, source(), top === undefined ? {} : { top })) all.push(one);
  return all;
}

describe("the predictions of a classifier", () => {
  it.each(["cls", "avg"] as const)("are the soft-max of its logits, best first, pooling %s", async (pooling) => {
    const model = await classifier(pooling);
    const logits = await directLogits(model);
    const found = await predictions(model);
    expect(found.map(({ index }) => index)).toEqual([...samples.keys()]);
    for (const [i, { best }] of found.entries()) {
      const own = logits[i] ?? [];
      const sum = own.reduce((total, logit) => total + Math.exp(logit), 0);
      const expected = [...own.keys()].sort((a, b) => (own[b] ?? 0) - (own[a] ?? 0));
      expect(best.map(({ label }) => label)).toEqual(expected);
      expect(best.map(({ className }) => className)).toEqual(expected.map((label) => classNames[label]));
      // Normalisation, forward pass and exponential in another order: a relative error of some round-offs.
      const probabilities = expected.map((label) => Math.exp(own[label] ?? 0) / sum);
      expect(
        maxError(
          best.map(({ probability }) => probability),
          probabilities,
        ),
      ).toBeLessThan(1e-4);
    }
  });

  it("are as many as asked for, and never more than classes", async () => {
    const model = await classifier();
    expect((await predictions(model, 2)).map(({ best }) => best.length)).toEqual(samples.map(() => 2));
    expect((await predictions(model, 9))[0]?.best).toHaveLength(4);
    await expect(predictions(model, 0)).rejects.toThrow(EvaluationError);
  });

  it("are refused where they are not finite", async () => {
    const model = await classifier();
    device.write(model.parameters.get("head.bias"), Float32Array.of(0, Number.NaN, 0, 0));
    const predicting = predictions(model);
    await expect(predicting).rejects.toThrow(EvaluationError);
    await expect(predicting).rejects.toThrow(/gives NaN for .*diverged/);
  });
});

describe("accuracy", () => {
  it("is the share of labelled images whose largest logit is that of their class", async () => {
    const model = await classifier();
    const best = (await predictions(model)).map((one) => one.best[0]?.label ?? -1);
    // Every third image has no label; of the others every second has a wrong one.
    const labelOf = (image: number): number | undefined =>
      image % 3 === 0 ? undefined : image % 2 === 0 ? best[image] : ((best[image] ?? 0) + 1) % 4;
    const labelled = [...samples.keys()].filter((image) => image % 3 !== 0);
    expect(await classifierAccuracy(model, source(labelOf))).toEqual({
      accuracy: labelled.filter((image) => image % 2 === 0).length / labelled.length,
      images: labelled.length,
    });
  });

  it("is refused without labels", async () => {
    await expect(classifierAccuracy(await classifier(), source())).rejects.toThrow(EvaluationError);
  });
});

describe("classifierPredictions", () => {
  it("are of the largest logit among the classes that may be chosen", { timeout: 60_000 }, async () => {
    const model = await classifier();
    const logits = await directLogits(model);
    const data = Float32Array.from(logits.flat());
    const labels = samples.map((_, image) => (image % 5 === 4 ? -1 : image % 2));
    for (const among of [undefined, [3, 1]]) {
      const chosen = among ?? [0, 1, 2, 3];
      const stated = source((image) => (image % 5 === 4 ? undefined : (chosen[image % 2] ?? 0)));
      const found = await classifierPredictions(model, stated, among ? { among } : {});
      const expected = accuracyOnClasses({ rows: samples.length, columns: 4, data }, labels, chosen);
      expect([...found.predicted]).toEqual([...expected.predicted].map((place) => chosen[place]));
      expect([...found.indices]).toEqual([...samples.keys()]);
      const counted = [...found.labels.keys()].filter((row) => (found.labels[row] ?? -1) >= 0);
      const hits = counted.filter((row) => found.labels[row] === found.predicted[row]).length;
      expect(hits / counted.length).toBeCloseTo(expected.accuracy, 12);
    }
    model.destroy();
  });

  it("refuse classes that the classifier does not have, or none", async () => {
    const model = await classifier();
    const among = (list: readonly number[]) => classifierPredictions(model, source(), { among: list });
    await expect(among([])).rejects.toThrow(/the list of classes is empty/);
    await expect(among([4])).rejects.toThrow(/class 4 is not one of the classifier's; give each of 0 … 3/);
    await expect(among([1, 1])).rejects.toThrow(/class 1 is listed twice/);
    model.destroy();
  });
});
