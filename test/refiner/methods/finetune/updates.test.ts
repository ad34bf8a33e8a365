import { describe, expect, it } from "vitest";
import { OptionError } from "../../../../engine/index.ts";
import { maxError } from "../../../../engine/testing/index.ts";
import type { Classifier } from "../../../../models/index.ts";
import { testDevice } from "../../../device.ts";
import { smallBatch, smallEncoder, smallMethod, trained } from "./small_task.ts";

const device = await testDevice();

async function valuesOf(model: Classifier): Promise<Map<string, ArrayLike<number>>> {
  const values = new Map<string, ArrayLike<number>>();
  for (const [name, tensor] of model.parameters.tensors) values.set(name, await tensor.read());
  return values;
}

/** The second third of a bias of queries, keys and values has no gradient but round-off. */
const hasNoise = (name: string): boolean => name.endsWith("attn.qkv.bias");

describe("micro-batches", () => {
  it.each([
    { microBatch: 2 },
    { microBatch: 6 }, // the last one is smaller
    { microBatch: 4, recompute: true },
    { microBatch: 3, mixup: 0, cutmix: 0 },
  ])(
    "give the losses, gradients and weights of the whole batch up to rounding: %o",
    { timeout: 120_000 },
    async (parts) => {
      const encoder = smallEncoder(device);
      const { microBatch: _, recompute: _recompute, ...others } = { recompute: false, ...parts };
      const whole = await smallMethod(encoder, others);
      const split = await smallMethod(encoder, parts);
      const [expected, actual] = [await trained(whole, 3), await trained(split, 3)];
      for (const [i, { loss, gradientNorm }] of actual.entries()) {
        expect(Math.abs(loss / (expected[i]?.loss ?? 0) - 1)).toBeLessThan(1e-5);
        expect(Math.abs(gradientNorm / (expected[i]?.gradientNorm ?? 0) - 1)).toBeLessThan(1e-4);
      }
      const [wanted, found] = [await valuesOf(whole.model), await valuesOf(split.model)];
      // Adam makes a whole step of each gradient, so its relative error is that of the step: 0.02 · 8 / 256 in size.
      for (const [name, values] of found)
        if (!hasNoise(name)) expect(maxError(values, wanted.get(name) ?? []), name).toBeLessThan(1e-4);
      whole.destroy();
      split.destroy();
    },
  );
});

describe("an update", () => {
  it("depends on nothing but settings, data and device", { timeout: 60_000 }, async () => {
    const encoder = smallEncoder(device);
    const runs = [];
    for (const seed of [0, 0, 1]) {
      const method = await smallMethod(encoder, { seed });
      runs.push({ losses: await trained(method, 2), values: await valuesOf(method.model) });
      method.destroy();
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]?.losses).not.toEqual(runs[0]?.losses);
  });

  it("is one submit, and in micro-batches one more than these", { timeout: 60_000 }, async () => {
    const encoder = smallEncoder(device);
    for (const [microBatch, submits] of [
      [0, 1],
      [4, 3],
    ]) {
      const method = await smallMethod(encoder, { microBatch });
      await trained(method, 1);
      const before = device.counters.submits;
      const { result } = await method.run(smallBatch(8, 2), { update: 1, total: 1, epoch: 0 });
      await result;
      expect(device.counters.submits - before).toBe(submits);
      method.destroy();
    }
  });

  it("takes two launches more for each branch that may be dropped, and one to mix the images", {
    timeout: 60_000,
  }, async () => {
    const encoder = smallEncoder(device);
    const launches = async (settings: Readonly<Record<string, number>>): Promise<number> => {
      const method = await smallMethod(encoder, settings);
      const { dispatches } = method.plan;
      method.destroy();
      return dispatches;
    };
    const plain = await launches({ dropPath: 0, mixup: 0, cutmix: 0 });
    expect(await launches({ dropPath: 0 })).toBe(plain + 1);
    expect(await launches({ mixup: 0, cutmix: 0 })).toBeLessThanOrEqual(plain + 2 * 4); // two branches of blocks 1 and 2
  });

  it("leaves frozen blocks, patch embedding, class token and positions as they are", { timeout: 60_000 }, async () => {
    const encoder = smallEncoder(device);
    const method = await smallMethod(encoder, { frozenShare: 0.4 }); // one block of three
    const before = await valuesOf(method.model);
    await trained(method, 2);
    const after = await valuesOf(method.model);
    const isSame = (name: string): boolean => maxError(after.get(name) ?? [], before.get(name) ?? []) === 0;
    const same = [...before.keys()].filter(isSame);
    expect(same.filter((name) => !/^(patch_embed|cls_tokens|pos_embed|blocks\.0)\./.test(name))).toEqual([]);
    expect(same).toHaveLength(2 + 1 + 1 + 12);
    method.destroy();
  });

  it("trains the positions, and the encoder that was given stays", { timeout: 60_000 }, async () => {
    const encoder = smallEncoder(device);
    const before = [await encoder.positions.read(), await encoder.parameters.get("norm.weight").read()];
    const method = await smallMethod(encoder);
    await trained(method, 2);
    expect([await encoder.positions.read(), await encoder.parameters.get("norm.weight").read()]).toEqual(before);
    const positions = await method.model.parameters.get("pos_embed.embed").read();
    expect(maxError(positions, before[0] ?? [])).toBeGreaterThan(0);
    method.destroy();
  });

  it("moves the average by its factor", { timeout: 60_000 }, async () => {
    const method = await smallMethod(smallEncoder(device), { ema: 0.75 });
    const start = await valuesOf(method.model);
    await trained(method, 1);
    const [now, average] = [await valuesOf(method.model), await valuesOf(method.result)];
    for (const name of ["head.weight", "blocks.1.mlp.fc1.weight"]) {
      const expected = Array.from(now.get(name) ?? [], (value, i) => 0.25 * value + 0.75 * (start.get(name)?.[i] ?? 0));
      expect(maxError(average.get(name) ?? [], expected)).toBeLessThan(1e-6);
    }
    expect(method.state().arenas["ema."]).toBe(method.result.parameters);
    method.destroy();
  });

  it.skipIf(!device.features.has("shader-f16"))("is in f16 nearly what it is in f32", { timeout: 60_000 }, async () => {
    const encoder = smallEncoder(device);
    const [full, half] = [await smallMethod(encoder), await smallMethod(encoder, { precision: "f16" })];
    const [expected, actual] = [await trained(full, 3), await trained(half, 3)];
    for (const [i, { loss, lossScale }] of actual.entries()) {
      expect(Math.abs(loss / (expected[i]?.loss ?? 0) - 1)).toBeLessThan(0.01);
      expect(lossScale?.skipped).toBe(0);
    }
    full.destroy();
    half.destroy();
  });

  it("lowers the loss on images that it sees again", { timeout: 120_000 }, async () => {
    const settings = {
      mixup: 0,
      cutmix: 0,
      dropPath: 0,
      area: [1, 1],
      randAugment: 0,
      erase: 0,
      flip: 0,
      labelSmoothing: 0,
      epochs: 20,
      learningRate: 0.1,
    };
    const method = await smallMethod(smallEncoder(device), settings);
    const losses: number[] = [];
    for (let update = 0; update < 30; update++) {
      const { result } = await method.run(smallBatch(8), { update, total: update, epoch: 0 });
      losses.push((await result).loss);
    }
    expect(losses[0]).toBeCloseTo(Math.log(3), 2);
    expect(losses.at(-1)).toBeLessThan(Math.log(3) / 3);
    method.destroy();
  });

  it("refuses an image without a label", { timeout: 60_000 }, async () => {
    const method = await smallMethod(smallEncoder(device));
    const batch = smallBatch(8);
    const labels = batch.labels.map((label, i) => (i === 5 ? -1 : label));
    const running = method.run({ ...batch, labels }, { update: 0, total: 0, epoch: 0 });
    await expect(running).rejects.toThrow(OptionError);
    await expect(running).rejects.toThrow("image 5 has no label");
    method.destroy();
  });
});
