import { describe, expect, it } from "vitest";
import { Arena } from "../../../../engine/index.ts";
import { maxError } from "../../../../engine/testing/index.ts";
import { modelBounds } from "../../../../refiner/conformance/bounds.ts";
import { headMetricNames } from "../../../../refiner/methods/refine/contrastive_summary.ts";
import { MicroBatchStep } from "../../../../refiner/methods/refine/micro_batch.ts";
import { recordStep } from "../../../../refiner/methods/refine/step.ts";
import type { StateArena } from "../../../../refiner/training/offload/streamed_step.ts";
import { testDevice } from "../../../device.ts";
import { type SmallOptions, type SmallTraining, smallTraining } from "./small_setup.ts";

const device = await testDevice();
const hasHalf = device.features.has("shader-f16");
const reason = `${device.info.name}: no shader-f16`;
const batch = 16;
const blocks = 3; // of the small setup
const bounds = modelBounds("f16", blocks);

type Values = Map<string, Float32Array>;

async function valuesOf(...arenas: (StateArena | undefined)[]): Promise<Values> {
  const values: Values = new Map();
  for (const arena of arenas) {
    if (!(arena instanceof Arena)) continue;
    for (const [name, tensor] of arena.tensors)
      values.set(`${arena.name} ${name}`, Float32Array.from(await tensor.read()));
  }
  return values;
}

/** Names of values of which some bit changed. */
function changed(before: Values, after: Values): string[] {
  const bits = (values: Float32Array | undefined): Uint32Array => new Uint32Array(values?.slice().buffer ?? []);
  return [...before].flatMap(([name, values]) => {
    const now = bits(after.get(name));
    return bits(values).some((word, i) => word !== now[i]) ? [name] : [];
  });
}

function outputsOf({ setup }: SmallTraining): string[] {
  const slots = setup.model.names.map((_, i) => `slots${i}`);
  return ["metrics", "headNorm", "encoderNorm", ...slots, ...(setup.encoder?.lossScaling ? ["lossScale"] : [])];
}

/** Runs updates, whole or in parts, and returns what each gave. */
async function train(training: SmallTraining, updates: number, part?: number): Promise<Record<string, number[]>[]> {
  const { setup } = training;
  const names = outputsOf(training);
  const results: Record<string, number[]>[] = [];
  const step = part === undefined ? recordStep(setup) : new MicroBatchStep(setup, part);
  for (let update = 0; update < updates; update++) {
    const whole = training.batch(update);
    const readback =
      step instanceof MicroBatchStep
        ? await step.run({ parts: (first, count) => training.parts(update, first, count), batch: whole }, names)
        : await step.run({ ...training.parts(update, 0, batch), ...whole }, names);
    const values = await readback.read();
    results.push(Object.fromEntries(Object.entries(values).map(([name, list]) => [name, Array.from(list)])));
  }
  step.destroy();
  return results;
}

function lossOf(values: Record<string, number[]> | undefined): number {
  const metrics = values?.metrics ?? [];
  const total = headMetricNames.indexOf("total");
  return metrics.reduce((sum, value, i) => (i % headMetricNames.length === total ? sum + value : sum), 0);
}

const scale = 2 ** 12;
const ways: [string, SmallOptions, number | undefined][] = [
  ["a whole batch", { batch }, undefined],
  ["micro-batches", { batch }, 7],
  ["blocks that are recomputed", { batch, recompute: true }, undefined],
  ["an EMA teacher", { batch, teacherFactor: 0.9 }, undefined],
];

describe.each(ways)("with %s", (_, options, part) => {
  it("the first update in f16 has the gradients of f32", { timeout: 120_000 }, async (context) => {
    if (!hasHalf) context.skip(reason);
    const full = await smallTraining(device, options);
    const half = await smallTraining(device, { ...options, precision: "f16", lossScale: scale });
    const [expected] = await train(full, 1, part);
    const [actual] = await train(half, 1, part);
    for (const name of full.setup.model.names.map((__, i) => `slots${i}`))
      expect(actual?.[name], "other neighbours would be another loss").toEqual(expected?.[name]);
    expect(Math.abs(lossOf(actual) / lossOf(expected) - 1)).toBeLessThan(bounds.forward);
    expect(actual?.encoderNorm?.[0], "norms are reported without the factor").toBeCloseTo(
      expected?.encoderNorm?.[0] ?? Number.NaN,
      2,
    );
    const gradients = await valuesOf(full.setup.encoder?.optimizer.gradients);
    const scaled = await valuesOf(half.setup.encoder?.optimizer.gradients);
    expect(gradients.size).toBeGreaterThan(30);
    for (const [name, values] of gradients) {
      // A batch norm behind it removes any shift, so that this gradient is zero up to round-off of its neighbours.
      const floor = name.endsWith(" norm.bias") ? largest(gradients.get(name.replace("bias", "weight"))) : 0;
      const unscaled = scaled.get(name)?.map((value) => value / scale) ?? [];
      expect(maxError(unscaled, values, Math.max(floor, 1e-6)), name).toBeLessThan(headFactor * bounds.gradient);
    }
  });
});

/** Batch norms and unit lengths in the heads divide by deviations below 1, so that features' errors grow on their way. */
const headFactor = 2;

function largest(values: Float32Array | undefined): number {
  return values?.reduce((most, value) => Math.max(most, Math.abs(value)), 0) ?? 0;
}

it("twenty updates in f16 have the losses of f32", { timeout: 240_000 }, async (context) => {
  if (!hasHalf) context.skip(reason);
  const updates = 20;
  const expected = (await train(await smallTraining(device, { batch }), updates)).map(lossOf);
  const results = await train(await smallTraining(device, { batch, precision: "f16", lossScale: scale }), updates);
  const actual = results.map(lossOf);
  expect(results.at(-1)?.lossScale?.slice(0, 3)).toEqual([scale, updates, 0]);
  const drift = actual.map((loss, i) => Math.abs(loss / (expected[i] ?? 0) - 1));
  expect(expected.at(-1)).toBeLessThan((expected[0] ?? 0) - 0.1);
  // Rounding of the values of one update, and as much again from weights that drifted apart before it.
  expect(Math.max(...drift)).toBeLessThan(2 * bounds.forward);
});

it("a loss scale that is too large settles at one that is not, and training goes on", {
  timeout: 240_000,
}, async (context) => {
  if (!hasHalf) context.skip(reason);
  const results = await train(await smallTraining(device, { batch, precision: "f16", lossScale: 2 ** 22 }), 16);
  const [factor = 0, , skipped = 0] = results.at(-1)?.lossScale ?? [];
  expect(skipped).toBeGreaterThan(0);
  expect(factor).toBe(2 ** 22 / 2 ** skipped);
  expect(skipped).toBeLessThan(16);
  expect(lossOf(results.at(-1))).toBeLessThan(lossOf(results[0]));
});

describe.each([
  ["a whole batch", undefined],
  ["micro-batches", 7],
] as const)("an overflow in %s", (_, part) => {
  it("skips the encoder's update, bit for bit, and halves the loss scale", { timeout: 120_000 }, async (context) => {
    if (!hasHalf) context.skip(reason);
    const training = await smallTraining(device, { batch, precision: "f16", lossScale: 2 ** 60 });
    const { encoder, heads, model } = training.setup;
    const untouched = () =>
      valuesOf(
        model.encoder.parameters,
        encoder?.average,
        encoder?.optimizer.firstMoment,
        encoder?.optimizer.secondMoment,
      );
    const [before, headsBefore] = [await untouched(), await valuesOf(heads.parameters)];
    const [first, second] = await train(training, 2, part);
    expect(first?.lossScale).toEqual([2 ** 59, 0, 1, 0, 0]);
    expect(second?.lossScale).toEqual([2 ** 58, 0, 2, 0, 0]);
    expect(changed(before, await untouched())).toEqual([]);
    expect(Number.isFinite(lossOf(second))).toBe(true);
    const headsAfter = await valuesOf(heads.parameters);
    expect(changed(headsBefore, headsAfter), "heads are f32 and go on").not.toEqual([]);
  });
});
