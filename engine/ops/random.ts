import { d, tgpu } from "typegpu";
import source from "../../shaders/random.wgsl" with { type: "text" };
import permutationSource from "../../shaders/random_permutation.wgsl" with { type: "text" };
import type { DType } from "../core/dtype.ts";
import { purposeNumber, type RandomKey, seedWords } from "../core/host_random.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, type Shape, sizeOf } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { manyStridingGroups } from "./elementwise.ts";

const words = d.arrayOf(d.u32);
const Params = d
  .struct({ count: d.u32, purpose: d.u32, step: d.u32, stepIsTensor: d.u32, seed: d.vec2u })
  .$name("Params");
export const randomKernel = defineKernel({
  name: "random",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    step: { storage: words },
    y: { storage: words, access: "mutable" },
  }),
});

const PermutationParams = d.struct({ rows: d.u32, length: d.u32 }).$name("Params");
export const randomPermutationKernel = defineKernel({
  name: "random_permutation",
  source: permutationSource,
  params: PermutationParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: PermutationParams },
    keys: { storage: words },
    order: { storage: words, access: "mutable" },
    rank: { storage: words, access: "mutable" },
  }),
});

/** Like `RandomKey`; the step may be a `[1]` u32 tensor, so that every replay of a program draws anew. */
export interface DeviceRandomKey extends Omit<RandomKey, "step"> {
  readonly step?: number | Tensor;
}

/** Uniform numbers in [0, 1), f32; the same as `hostUniform`, bit for bit. @throws OptionError, ShapeError, DTypeError */
export function uniform(program: Program, shape: Shape, key: DeviceRandomKey): Tensor {
  return draw(program, shape, key, "asUniform", "f32");
}

/** Standard normal numbers, f32; `hostNormal` up to f32 rounding. @throws OptionError, ShapeError, DTypeError */
export function normal(program: Program, shape: Shape, key: DeviceRandomKey): Tensor {
  return draw(program, shape, key, "asNormal", "f32");
}

/** Random words, u32; the same as `hostBits`. @throws OptionError, ShapeError, DTypeError */
export function randomBits(program: Program, shape: Shape, key: DeviceRandomKey): Tensor {
  return draw(program, shape, key, "asBits", "u32");
}

/**
 * An independent uniform permutation per row; row 0 equals `hostPermutation`. Work grows with `length` squared: meant for
 * the tokens of images, not for data sets.
 *
 * @returns `order[r, n]`, the n-th item of row r, and its inverse `rank[r, item]`, both `[rows, length]` u32
 * @throws OptionError, ShapeError, DTypeError
 */
export function permutation(program: Program, shape: readonly [rows: number, length: number], key: DeviceRandomKey) {
  const [rows, length] = shape;
  const keys = randomBits(program, shape, key);
  const order = program.empty(shape, "u32");
  const rank = program.empty(shape, "u32");
  program.dispatch(
    randomPermutationKernel,
    { rows, length },
    { keys, order, rank },
    manyStridingGroups(rows * length, program.device),
  );
  return { order, rank };
}

function draw(program: Program, shape: Shape, key: DeviceRandomKey, form: string, dtype: DType): Tensor {
  const y = program.empty(shape, dtype);
  const { step = 0 } = key;
  const isTensor = typeof step !== "number";
  if (isTensor) {
    checkDType("random", "step", step, ["u32"]);
    checkSameShape("random", "step", step.shape, [1]);
  }
  const count = sizeOf(shape);
  program.dispatch(
    randomKernel,
    {
      count,
      purpose: purposeNumber(key.purpose),
      step: isTensor ? 0 : step >>> 0,
      stepIsTensor: isTensor ? 1 : 0,
      seed: seedWords(key.seed),
    },
    { step: isTensor ? step : program.empty([1], "u32"), y },
    manyStridingGroups(Math.ceil(count / 4), program.device),
    { declarations: { form } },
  );
  return y;
}
