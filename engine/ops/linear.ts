import { DTypeError, RankError, ShapeError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import type { PendingGradients } from "../core/recording.ts";
import { checkDType, checkSameShape, matrixShape, rowsAndColumns, showShape } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { add, mul } from "./binary.ts";
import { cast, narrowed } from "./cast.ts";
import { geluBend } from "./gelu.ts";
import { foldGeluSlope } from "./matmul_fold.ts";
import { type Product, recordProduct, sumParts } from "./matmul_product.ts";
import { expand } from "./reduce.ts";

export interface LinearOptions {
  /** `[out]`, added to every row. */
  readonly bias?: Tensor | undefined;
  /** `gelu`: x cdf(x) with the exact erf, applied after the bias. */
  readonly activation?: "gelu" | undefined;
  /** `[..., out]`, added last: the skip connection. */
  readonly residual?: Tensor | undefined;
}

/**
 * `y = activation(x Wᵀ + bias) + residual` in one dispatch; the convention of `torch.nn.Linear`. NaN and infinities as
 * in `matmul`.
 *
 * @param x - `[..., in]`, f32 or f16; leading axes are flattened into rows
 * @param weight - `[out, in]`, of the type of `x`, or f32 for an f16 `x`: master weights, which are rounded to f16 for the products
 *   while their gradient is written in f32
 * @returns `[..., out]`, of the type of `x`; sums are f32 throughout
 * @throws RankError, ShapeError, DTypeError
 */
export function linear(x: Tensor, weight: Tensor, options: LinearOptions = {}): Tensor {
  const { bias, activation, residual } = options;
  const program = programOf("linear", x, weight, bias, residual);
  const { rows, inputs, outputs } = checkLinear(x, weight, options);
  const y = program.empty([...x.shape.slice(0, -1), outputs], x.dtype);
  const gelu = activation === "gelu";
  const slope = gelu && !program.inference ? program.empty(y.shape, y.dtype) : undefined;
  const forward = product(x, narrowed(weight, x.dtype), rows, outputs, inputs, false, true);
  recordProduct(program, { ...forward, epilogue: { bias, gelu, slope, residual } }, y);
  // With p = x Wᵀ + b and s = gelu'(p), which costs one exponential beside the erf of y and is kept less 1/2:
  // dp = dy s,  dx = dp W,  dW = dpᵀ x,  db = sum of dp over rows,  dresidual = dy.
  if (slope) {
    // p itself is needed for second derivatives only, which compute it again.
    program.record(slope, [x, weight, bias], (ds, needs, pending) => {
      const dp = mul(ds, geluBend(linear(x, weight, { bias })));
      return productGradients(x, weight, bias, dp, needs, pending);
    });
  }
  return program.record(y, [x, weight, bias, residual], (dy, needs, pending) => {
    const [needsX, needsWeight, needsBias] = needs;
    const dp = slope && (needsX || needsWeight || needsBias) ? geluGradient(program.resolve(), slope, dy) : dy;
    return [...productGradients(x, weight, bias, dp, needs, pending), dy];
  });
}

/** dx, dW and db of p = x Wᵀ + b. */
function productGradients(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  dp: Tensor,
  [needsX, needsWeight, needsBias]: readonly boolean[],
  pending: PendingGradients,
): [Tensor | undefined, Tensor | undefined, Tensor | undefined] {
  const program = programOf("linear", x, weight, bias, dp);
  const [dWeight, dBias] =
    needsWeight || needsBias ? parameterGradients(program, x, weight, needsBias ? bias : undefined, dp) : [];
  const dx = needsX ? inputGradient(program, x, weight, dp, pending.take(0)) : undefined;
  return [dx, dWeight, dBias];
}

/** Sizes of a linear layer. @throws RankError, ShapeError, DTypeError */
export function checkLinear(x: Tensor, weight: Tensor, { bias, residual }: LinearOptions) {
  checkDType("linear", "x", x, ["f32", "f16"]);
  if (x.shape.length < 2) {
    throw new RankError(`linear: x has shape ${showShape(x.shape)}, expected at least two axes; reshape it to [1, in]`);
  }
  const [rows, inputs] = rowsAndColumns("linear", "x", x);
  const [outputs, weightInputs] = matrixShape("linear", "weight", weight);
  if (inputs !== weightInputs) {
    throw new ShapeError(
      `linear: x ${showShape(x.shape)} has ${inputs} columns and weight ${showShape(weight.shape)} takes ${weightInputs}; expected weight [out, ${inputs}]`,
    );
  }
  if (bias) {
    checkSameShape("linear", "bias", bias.shape, [outputs]);
    checkDType("linear", "bias", bias, ["f32", x.dtype]);
  }
  if (residual) checkSameShape("linear", "residual", residual.shape, [...x.shape.slice(0, -1), outputs]);
  checkDType("linear", "weight", weight, x.dtype === "f32" ? ["f32"] : ["f32", x.dtype]);
  if (residual && residual.dtype !== x.dtype) {
    throw new DTypeError(`linear: residual is ${residual.dtype} and x ${x.dtype}, expected one type; use cast`);
  }
  return { rows, inputs, outputs };
}

function product(
  a: Tensor,
  b: Tensor,
  rows: number,
  columns: number,
  depth: number,
  transposeA: boolean,
  transposeB: boolean,
): Product {
  return { a, b, rows, columns, depth, transposeA, transposeB, batches: 1, aBatched: false, bBatched: false };
}

/**
 * dp = dy gelu'(p), as part of the product that made dy where one did.
 *
 * @param slope - gelu'(p) - 1/2, as an epilogue keeps it
 */
export function geluGradient(program: Program, slope: Tensor, dy: Tensor): Tensor {
  const dp = foldGeluSlope(program, dy, slope) ?? timesSlope(program, slope, dy);
  return program.record(dp, [dy, slope], (g, [needsDy, needsSlope]) => [
    needsDy ? mul(g, add(slope, 0.5)) : undefined,
    needsSlope ? mul(g, dy) : undefined,
  ]);
}

function timesSlope(program: Program, slope: Tensor, dy: Tensor): Tensor {
  const dp = program.empty(slope.shape, slope.dtype);
  const [rows, columns] = rowsAndColumns("linear", "dy", dy);
  sumParts(program, { rows, columns, batches: 1, splits: 1 }, dy, dp, { timesSlope: slope });
  return dp;
}

/** dx = dp W, plus what reached `x` on other paths. */
export function inputGradient(program: Program, x: Tensor, weight: Tensor, dp: Tensor, residual?: Tensor): Tensor {
  const [outputs, inputs] = matrixShape("linear", "weight", weight);
  const dx = program.empty(x.shape, x.dtype);
  // Rounded once more: a copy kept since the forward pass would take half of the master weights' memory all the while.
  const plain = product(dp, narrowed(weight, dp.dtype), x.size / inputs, inputs, outputs, false, false);
  recordProduct(program, { ...plain, epilogue: { residual } }, dx);
  return program.record(dx, [dp, weight, residual], (g, [needsDp, needsWeight]) => [
    needsDp ? linear(g, weight) : undefined,
    needsWeight ? parameterGradients(program.resolve(), g, weight, undefined, dp)[0] : undefined,
    g,
  ]);
}

/** dW and, from the same pass over dp, db. */
function parameterGradients(
  program: Program,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  dp: Tensor,
): [Tensor, Tensor | undefined] {
  const [outputs, inputs] = matrixShape("linear", "weight", weight);
  const dWeight = program.empty(weight.shape, weight.dtype);
  const dBias = bias && program.empty(bias.shape, bias.dtype);
  const transposed = product(dp, x, outputs, inputs, x.size / inputs, true, false);
  recordProduct(program, { ...transposed, epilogue: { rowSums: dBias } }, dWeight);
  if (dBias) program.record(dBias, [dp], (g) => [expand(cast(g, dp.dtype), dp.shape)]);
  program.record(dWeight, [x, dp], (g, [needsX, needsDp]) => [
    needsX ? inputGradient(program.resolve(), x, g, dp) : undefined,
    needsDp ? reshape(linear(x, g), dp.shape) : undefined,
  ]);
  return [dWeight, dBias];
}
