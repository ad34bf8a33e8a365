import type { Tensor } from "../../../engine/index.ts";
import { goldenBounds, modelBounds } from "../bounds.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Json } from "../json.ts";
import { halfFactor, roundOffFactor, stableBounds } from "./run_bounds.ts";
import { headState, lossScale, type Training } from "./training.ts";

/** Gradients of the first update, and in f32 the state after it. */
export async function checkFirstUpdate(golden: GoldenCase, training: Training, json: Json): Promise<void> {
  const { heads, encoder } = training.stage;
  for (const stored of golden.names("step.0/grads/")) {
    const [group, name] = splitName(stored.slice("step.0/grads/".length));
    const arena = group === "heads" ? heads.gradients : encoder?.optimizer.gradients;
    if (!arena) continue;
    const values = await arena.get(name).read();
    if (golden.precision === "f32") await golden.compareGradient(stored, values);
    else await compareHalfGradient(golden, training, stored, group === "heads" ? values : unscaled(values));
  }
  if (golden.precision === "f16") return;
  const roundOff = roundOffFactor * json.get("max_abs_difference_to_float64", "final").number();
  const isNoise = new Set(golden.json.get("zero_gradient_in_exact_arithmetic").keys());
  await checkState(golden, "after.0/", training, (name) =>
    isNoise.has(name) ? roundOff : stableBounds.weightAbsolute,
  );
}

function unscaled(values: ArrayLike<number>): number[] {
  return Array.from(values, (value) => value / lossScale);
}

/** One that is zero in exact arithmetic is the round-off of sums over all rows, and measured against the other gradients. */
async function compareHalfGradient(
  golden: GoldenCase,
  { model }: Training,
  stored: string,
  values: ArrayLike<number>,
): Promise<void> {
  const bound = halfFactor * modelBounds("f16", model.encoder.config.blocks).gradient;
  const expected = await golden.floats(stored);
  const sibling = stored.replace(/bias$/, "weight"); // of the same norm
  const others = golden.has(sibling) ? await golden.floats(sibling) : expected;
  const largest = (list: Float32Array): number => list.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isZero = largest(expected) < 1e-6;
  const scale = Math.max(largest(isZero ? others : expected), 1e-6);
  const error = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (values[i] ?? Number.NaN))), 0);
  golden.addError(stored, error / scale, bound);
}

/** State of heads and encoder, and the moving average, after the last update. */
export async function checkLastState(
  golden: GoldenCase,
  training: Training,
  run: "main" | "stable",
  json: Json,
): Promise<void> {
  const weights =
    run === "stable"
      ? stableBounds.weightAbsolute
      : roundOffFactor * json.get("max_abs_difference_to_float64", "final").number();
  const prefix = run === "stable" ? "stable/" : "";
  await checkState(golden, `${prefix}final/`, training, () => weights);
  for (const stored of golden.names(`${prefix}ema/`)) {
    const average = training.average.get(stored.slice(`${prefix}ema/`.length));
    await compareAbsolute(golden, stored, await average.read(), weights);
  }
}

async function checkState(
  golden: GoldenCase,
  prefix: string,
  training: Training,
  absolute: (name: string) => number,
): Promise<void> {
  for (const stored of golden.names(prefix)) {
    const full = stored.slice(prefix.length);
    const tensor = stateOf(training, full);
    const values = tensor ? await tensor.read() : [];
    if (tensor?.dtype === "f32") await compareAbsolute(golden, stored, values, absolute(full));
    else await golden.compare(stored, values, goldenBounds.exact);
  }
}

function stateOf({ model }: Training, full: string): Tensor | undefined {
  const [group, name] = splitName(full);
  if (group === "heads") return new Map(headState(model)).get(name);
  return name === "pos_embed.embed" ? model.encoder.positions : model.encoder.parameters.get(name);
}

/** Compares with an absolute bound, stated relative to the largest stored value. */
async function compareAbsolute(
  golden: GoldenCase,
  stored: string,
  values: ArrayLike<number>,
  absolute: number,
): Promise<void> {
  const expected = await golden.floats(stored);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  golden.add(stored, values, expected, absolute / largest);
}

function splitName(name: string): [group: string, rest: string] {
  const dot = name.indexOf(".");
  return [name.slice(0, dot), name.slice(dot + 1)];
}
