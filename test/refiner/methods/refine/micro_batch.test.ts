import { describe, expect, it } from "vitest";
import type { Arena } from "../../../../engine/index.ts";
import { maxError } from "../../../../engine/testing/index.ts";
import { headMetricNames } from "../../../../refiner/methods/refine/contrastive_summary.ts";
import { MicroBatchStep } from "../../../../refiner/methods/refine/micro_batch.ts";
import { recordStep } from "../../../../refiner/methods/refine/step.ts";
import { testDevice } from "../../../device.ts";
import { type SmallOptions, type SmallTraining, smallTraining } from "./small_setup.ts";

const device = await testDevice();
const batch = 64;
/** Adapters without subgroups of eight take seconds for an update of this batch, so that fewer must do there. */
const updates = (device.subgroupSize ?? 0) < 8 ? 3 : 20;
/** Gradients differ by the order of summation only: a few round-offs of 2⁻²⁴ per tensor, far below this. */
const gradientBound = 1e-5;
const lossBound = 1e-5;
const weightBound = 1e-4;
const outputs = ["metrics", "slots0", "slots1", "slots2", "headNorm", "encoderNorm"];

/** Gradients that are zero in exact arithmetic and round-off otherwise: a batch norm behind them removes any shift. */
const isRoundOff = (name: string): boolean => name.endsWith("projector.2.1.bias") || name === "norm.bias";

type Values = Map<string, ArrayLike<number>>;

interface Training {
  readonly gradients: Values;
  readonly weights: Values;
  /** Metrics of all heads, update by update. */
  readonly metrics: ArrayLike<number>[];
  readonly norms: number[];
  /** Chosen queue slots of all heads, update by update. */
  readonly slots: number[][];
}

async function valuesOf(...arenas: (Arena | undefined)[]): Promise<Values> {
  const values: Values = new Map();
  for (const arena of arenas) {
    if (arena) for (const [name, tensor] of arena.tensors) values.set(name, await tensor.read());
  }
  return values;
}

/** Trains for some updates, whole batches or in parts. */
async function train(options: SmallOptions, part: number | undefined, count: number): Promise<Training> {
  const training = await smallTraining(device, options);
  const { setup } = training;
  const step = stepOf(training, part);
  const metrics: ArrayLike<number>[] = [];
  const norms: number[] = [];
  const slots: number[][] = [];
  let gradients: Values = new Map();
  for (let update = 0; update < count; update++) {
    const values = await step.run(update);
    metrics.push(values.metrics ?? []);
    norms.push(values.headNorm?.[0] ?? Number.NaN, values.encoderNorm?.[0] ?? Number.NaN);
    slots.push(setup.model.names.flatMap((_, i) => Array.from(values[`slots${i}`] ?? [])));
    if (update === 0) gradients = await valuesOf(setup.heads.gradients, setup.encoder?.optimizer.gradients);
  }
  const weights = await valuesOf(
    setup.model.headParameters,
    setup.model.encoder.parameters,
    setup.teacher?.parameters,
    setup.teacher?.encoder?.parameters,
  );
  step.destroy();
  return { gradients, weights, metrics, norms, slots };
}

function stepOf(training: SmallTraining, part: number | undefined) {
  const { setup } = training;
  const names = setup.encoder ? outputs : outputs.filter((name) => name !== "encoderNorm");
  if (part === undefined) {
    const step = recordStep(setup);
    return {
      run: async (update: number): Promise<Record<string, ArrayLike<number>>> => {
        const inputs = { ...training.parts(update, 0, setup.loss.layout.batch), ...training.batch(update) };
        return (await step.run(inputs, names)).read();
      },
      destroy: () => step.destroy(),
    };
  }
  const step = new MicroBatchStep(setup, part);
  return {
    run: async (update: number): Promise<Record<string, ArrayLike<number>>> => {
      const parts = (first: number, count: number) => training.parts(update, first, count);
      return (await step.run({ parts, batch: training.batch(update) }, names)).read();
    },
    destroy: () => step.destroy(),
  };
}

function worstOf(actual: Values, expected: Values, distance: (a: ArrayLike<number>, b: ArrayLike<number>) => number) {
  let worst = { name: "", error: 0 };
  for (const [name, values] of expected) {
    const error = isRoundOff(name) ? 0 : distance(actual.get(name) ?? [], values);
    if (!(error <= worst.error)) worst = { name, error };
  }
  return worst;
}

const absolute = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(b).reduce((most, value, i) => Math.max(most, Math.abs((a[i] ?? Number.NaN) - value)), 0);

function lossError(actual: Training, expected: Training): number {
  const total = headMetricNames.indexOf("total");
  const losses = ({ metrics }: Training): number[] =>
    metrics.flatMap((row) => Array.from(row).filter((_, i) => i % headMetricNames.length === total));
  const wanted = losses(expected);
  return Math.max(...losses(actual).map((loss, i) => Math.abs(loss - (wanted[i] ?? 0)) / Math.abs(wanted[i] ?? 1)));
}

describe("micro-batches of a batch of 64", () => {
  let wholeRun: Promise<Training> | undefined;
  const wholeBatch = (): Promise<Training> => {
    wholeRun ??= train({ batch }, undefined, updates);
    return wholeRun;
  };

  it.each([64, 32, 16, 7])("of %i images give the update of the whole batch", { timeout: 240_000 }, async (part) => {
    const whole = await wholeBatch();
    const split = await train({ batch }, part, updates);
    const gradient = worstOf(split.gradients, whole.gradients, (a, b) => maxError(a, b, 0));
    const weight = worstOf(split.weights, whole.weights, absolute);
    const loss = lossError(split, whole);
    console.log(
      `part ${part}: gradients ${gradient.error.toExponential(1)} (${gradient.name}), losses ${loss.toExponential(1)}, weights ${weight.error.toExponential(1)} (${weight.name})`,
    );
    expect(split.slots).toEqual(whole.slots); // the images leave no two entries equally near within round-off
    expect(gradient.error).toBeLessThanOrEqual(gradientBound);
    expect(loss).toBeLessThanOrEqual(lossBound);
    expect(weight.error).toBeLessThanOrEqual(weightBound);
    expect(maxError(split.norms, whole.norms)).toBeLessThanOrEqual(lossBound);
  });
});

describe("micro-batches of 5 of a batch of 12", () => {
  const variants: Record<string, Partial<SmallOptions>> = {
    "a frozen encoder": { trainsEncoder: false },
    "a teacher": { teacherFactor: 0.5 },
    "a teacher of a frozen encoder": { trainsEncoder: false, teacherFactor: 0.5 },
    "a choice among 5 neighbours": { loss: { topK: 5 } },
    "mean-patch pooling and no local views": { pooling: "avg", localViews: 0 },
    "frozen first blocks": { frozenBlocks: 1 },
    "recomputed blocks": { recompute: true },
  };

  it.each(Object.entries(variants))("equal the whole batch with %s", { timeout: 120_000 }, async (_, options) => {
    const whole = await train({ batch: 12, ...options }, undefined, 2);
    const split = await train({ batch: 12, ...options }, 5, 2);
    expect(split.slots).toEqual(whole.slots);
    expect(worstOf(split.gradients, whole.gradients, (a, b) => maxError(a, b, 0)).error).toBeLessThanOrEqual(
      gradientBound,
    );
    expect(lossError(split, whole)).toBeLessThanOrEqual(lossBound);
    expect(worstOf(split.weights, whole.weights, absolute).error).toBeLessThanOrEqual(weightBound);
  });

  it("refuse a part that is larger than the batch", async () => {
    const { setup } = await smallTraining(device, { batch: 12 });
    expect(() => new MicroBatchStep(setup, 13)).toThrow("a micro-batch of 13 images does not fit a batch of 12");
  });
});

describe("planned memory of a micro-batched update", async () => {
  const { setup } = await smallTraining(device, { batch });
  const memoryOf = (part: number) => new MicroBatchStep(setup, part).memory;

  it("falls in proportion to the micro-batch", () => {
    const whole = memoryOf(batch).partBytes;
    for (const part of [64, 32, 16, 8, 7, 1]) {
      const { partBytes, totalBytes, featureBytes, programs } = memoryOf(part);
      console.log(
        `part ${part}: encoder ${partBytes} bytes (${(partBytes / whole).toFixed(3)} of the whole batch), all programs ${totalBytes}, features ${featureBytes}; ${programs.map(({ name, arenaBytes }) => `${name} ${arenaBytes}`).join(", ")}`,
      );
      // What does not shrink: gradients of the two largest weights [96, 32] f32, one as a sum in progress, and padding to 256 bytes.
      expect(partBytes).toBeLessThanOrEqual((part / batch) * whole + 4 * 96 * 32 * 4);
    }
  });
});
