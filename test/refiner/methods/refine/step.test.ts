import { describe, expect, it } from "vitest";
import type { Arena, HostArray } from "../../../../engine/index.ts";
import { recordProgram } from "../../../../engine/index.ts";
import { expectClose, toleranceOf, valuesOf } from "../../../../engine/testing/index.ts";
import type { ViewLayout } from "../../../../refiner/methods/refine/contrastive_loss.ts";
import { headMetricNames } from "../../../../refiner/methods/refine/contrastive_summary.ts";
import type { Swap } from "../../../../refiner/methods/refine/head.ts";
import { recordStep } from "../../../../refiner/methods/refine/step.ts";
import { testDevice } from "../../../device.ts";
import { contrastiveReference } from "../../../reference/contrastive_loss.ts";
import { type SmallOptions, type SmallTraining, smallTraining } from "./small_setup.ts";

const device = await testDevice();
const batch = 8;

async function values(arena: Arena): Promise<Record<string, HostArray>> {
  const list: [string, HostArray][] = [];
  for (const [name, tensor] of arena.tensors) list.push([name, await tensor.read()]);
  return Object.fromEntries(list);
}

/** Runs some updates; returns the metrics of each, and the step's planned statistics. */
async function run(training: SmallTraining, updates: number) {
  const step = recordStep(training.setup);
  const metrics: HostArray[] = [];
  for (let update = 0; update < updates; update++) {
    const inputs = { ...training.parts(update, 0, batch), ...training.batch(update) };
    metrics.push((await (await step.run(inputs, ["metrics"])).read()).metrics);
  }
  const { stats } = step;
  step.destroy();
  return { metrics, stats };
}

async function trained(options: Omit<SmallOptions, "batch">, updates: number) {
  const training = await smallTraining(device, { batch, ...options });
  const { metrics, stats } = await run(training, updates);
  const { setup } = training;
  const encoder = setup.encoder?.optimizer;
  return {
    metrics,
    stats,
    setup,
    weights: { ...(await values(setup.model.encoder.parameters)), ...(await values(setup.model.headParameters)) },
    gradients: { ...(encoder ? await values(encoder.gradients) : {}), ...(await values(setup.heads.gradients)) },
  };
}

describe("frozen first blocks", async () => {
  const free = await trained({}, 1);
  const frozen = await trained({ frozenBlocks: 2 }, 1);
  const isFrozen = (name: string): boolean => /^(patch_embed|cls_tokens|blocks\.0|blocks\.1)\b/.test(name);

  it("keep their weights and get no gradients", async () => {
    const { setup } = await smallTraining(device, { batch });
    const start = await values(setup.model.encoder.parameters);
    const names = Object.keys(start).filter(isFrozen);
    expect(names.length).toBeGreaterThan(24);
    for (const name of names) {
      expect(frozen.weights[name]).toEqual(start[name]);
      expect(free.weights[name]).not.toEqual(start[name]);
      expect(frozen.gradients[name]).toBeUndefined();
    }
  });

  it("change no gradient of the others", () => {
    for (const [name, gradient] of Object.entries(free.gradients))
      if (!isFrozen(name)) expect(frozen.gradients[name]).toEqual(gradient);
  });

  it("spare the backward pass below them", () => {
    // Two of three blocks need no backward pass, which is two thirds of their work and of what is kept for it.
    expect(frozen.stats.flops).toBeLessThan(0.75 * free.stats.flops);
    expect(frozen.stats.plannedPeakBytes).toBeLessThan(0.75 * free.stats.plannedPeakBytes);
  });
});

describe("an EMA teacher", () => {
  it("of factor 0 teaches what the model teaches itself, where both see the same views", {
    timeout: 60_000,
  }, async () => {
    const own = await trained({ localViews: 0 }, 3);
    const taught = await trained({ localViews: 0, teacherFactor: 0 }, 3);
    expect(taught.metrics).toEqual(own.metrics);
    expect(taught.weights).toEqual(own.weights);
  });

  it("of factor 1 stays as it began, and the losses with it differ", { timeout: 60_000 }, async () => {
    const own = await trained({ localViews: 0 }, 3);
    const { setup, metrics } = await trained({ localViews: 0, teacherFactor: 1 }, 3);
    const start = (await smallTraining(device, { batch, localViews: 0 })).setup.model;
    if (!setup.teacher?.encoder) throw new Error("no teacher");
    expect(await values(setup.teacher.parameters)).toEqual(await values(start.headParameters));
    expect(await values(setup.teacher.encoder.parameters)).toEqual(await values(start.encoder.parameters));
    expect(metrics[0]).toEqual(own.metrics[0]);
    expect(metrics[2]).not.toEqual(own.metrics[2]);
  });

  it("is the moving average of encoder and heads", async () => {
    const { setup, weights } = await trained({ teacherFactor: 0.75 }, 1);
    const start = (await smallTraining(device, { batch })).setup.model;
    const initial = { ...(await values(start.encoder.parameters)), ...(await values(start.headParameters)) };
    if (!setup.teacher?.encoder) throw new Error("no teacher");
    const teacher = {
      ...(await values(setup.teacher.encoder.parameters)),
      ...(await values(setup.teacher.parameters)),
    };
    for (const [name, average] of Object.entries(teacher)) {
      const expected = Array.from(initial[name] ?? [], (value, i) => 0.75 * value + 0.25 * (weights[name]?.[i] ?? 0));
      expectClose(name, average, expected, toleranceOf(2));
    }
  });

  it("of a frozen encoder is that encoder", async () => {
    const { setup, metrics } = await trained({ teacherFactor: 0.5, trainsEncoder: false }, 2);
    expect(setup.teacher?.encoder).toBeUndefined();
    expect(metrics.flatMap((row) => Array.from(row)).every(Number.isFinite)).toBe(true);
  });

  it("refuses a factor outside 0 … 1", async () => {
    await expect(smallTraining(device, { batch, teacherFactor: 1.5 })).rejects.toThrow(/factor is 1.5, expected 0 … 1/);
  });
});

describe("recomputed blocks", () => {
  it("change no bit of a training and need less memory", { timeout: 60_000 }, async () => {
    const kept = await trained({}, 2);
    const recomputed = await trained({ recompute: true }, 2);
    expect(recomputed.metrics).toEqual(kept.metrics);
    expect(recomputed.gradients).toEqual(kept.gradients);
    const some = await trained({ recompute: [1] }, 1);
    expect([some.metrics, some.stats.plannedPeakBytes < kept.stats.plannedPeakBytes]).toEqual([
      kept.metrics.slice(0, 1),
      true,
    ]);
    expect(some.stats.plannedPeakBytes).toBeGreaterThan(recomputed.stats.plannedPeakBytes);
    console.info(
      `planned peak: kept ${kept.stats.plannedPeakBytes}, recomputed ${recomputed.stats.plannedPeakBytes} bytes`,
    );
    expect(recomputed.stats.plannedPeakBytes).toBeLessThan(0.7 * kept.stats.plannedPeakBytes);
  });
});

describe("the swap", () => {
  const layout: ViewLayout = { batch, globalViews: 2, localViews: 2, localIndexing: "stated" };

  it.each<Swap>(["positives", "all", "none"])("of %s puts neighbours where it says", async (swap) => {
    const { setup } = await smallTraining(device, { batch });
    const [head] = setup.model.heads;
    if (!head) throw new Error("no head");
    const recorded = recordProgram(device, (program) => {
      const features = program.input("features", [4 * batch, head.config.inputWidth]);
      const { metrics, anchors, neighbours, predicted } = head.forward(features, {
        layout,
        swap,
        temperature: 0.2,
        topK: 1,
        training: true,
        samples: program.input("samples", [batch], "i32"),
        classes: device.zeros([batch], "i32"),
        choice: device.zeros([2 * batch], "u32"),
      });
      return { metrics, anchors, swapped: neighbours.swapped, predicted };
    });
    const inputs = {
      features: valuesOf("normal", 5, 4 * batch * head.config.inputWidth),
      samples: Int32Array.from({ length: batch }, (_, b) => b),
    };
    const read = await (await recorded.run(inputs, ["metrics", "anchors", "swapped", "predicted"])).read();
    const [own, other] = [unit(read.anchors, 32), unit(read.swapped, 32)];
    const [negatives, positives] = { positives: [own, other], all: [other, other], none: [own, own] }[swap];
    const expected = contrastiveReference(negatives ?? [], positives ?? [], unit(read.predicted, 32), 32, layout, 0.2);
    expectClose(
      "losses",
      read.metrics.slice(0, 5),
      (["total", "globalLoss", "globalAlignment", "localLoss", "localAlignment"] as const).map(
        (name) => expected[name],
      ),
      toleranceOf(200),
      1,
    );
    recorded.destroy();
  });
});

describe("the metrics of a step", () => {
  it("hold a row per head with every name once", async () => {
    const { metrics, setup } = await trained({ placements: [2, "last"], pooling: "avg" }, 1);
    expect(metrics[0]?.length).toBe(setup.model.names.length * headMetricNames.length);
    expect(new Set(headMetricNames).size).toBe(headMetricNames.length);
  });
});

/** Rows of unit length, in float64. */
function unit(rows: ArrayLike<number>, columns: number): number[] {
  const values = Array.from(rows);
  return values.map((value, at) => {
    const first = Math.floor(at / columns) * columns;
    return value / Math.hypot(...values.slice(first, first + columns));
  });
}
