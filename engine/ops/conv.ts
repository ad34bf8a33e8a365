import type { DType } from "../core/dtype.ts";
import { checkRank } from "../core/shape.ts";
import { detach, programOf, reshape, type Tensor } from "../core/tensor.ts";
import { cast } from "./cast.ts";
import { recordConv, recordConvWeight, resultShape, sourceShape, weightShape } from "./conv_kernels.ts";
import { type ConvOptions, type ConvShape, convShape } from "./conv_shape.ts";
import { reduceAxes, sum } from "./reduce.ts";

export interface Conv1dOptions extends Omit<ConvOptions, "stride" | "padding" | "dilation"> {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
}

/**
 * Convolution of images whose channels come last, with zeros around them; `torch.nn.functional.conv2d` in that layout. The sums are
 * f32, and no matrix of patches lies in memory. NaN and infinities spoil the places whose kernel meets them.
 *
 * @param x - `[B, rows, columns, in]`, f32 or f16
 * @param weight - `[out, tap rows, tap columns, in / groups]`, of the type of `x`, or f32 for an f16 `x`; PyTorch's `[out, in, …]` is
 *   `permute(weight, [0, 2, 3, 1])` of it
 * @returns `[B, ⌊(rows + 2 padding - dilation (taps - 1) - 1) / stride⌋ + 1, …, out]`, of the type of `x`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function conv2d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolution("conv2d", x, weight, options);
}

/**
 * Convolution of sequences; as {@link conv2d}.
 *
 * @param x - `[B, T, in]`
 * @param weight - `[out, taps, in / groups]`
 * @returns `[B, ⌊(T + 2 padding - dilation (taps - 1) - 1) / stride⌋ + 1, out]`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function conv1d(x: Tensor, weight: Tensor, options: Conv1dOptions = {}): Tensor {
  checkRank("conv1d", "x", x, 3);
  checkRank("conv1d", "weight", weight, 3);
  const { stride = 1, padding = 0, dilation = 1, ...others } = options;
  const lined = convolution("conv1d", lineOf(x), lineOf(weight), {
    ...others,
    stride: [1, stride],
    padding: [0, padding],
    dilation: [1, dilation],
  });
  const [batch = 1, , places = 1, outputs = 1] = lined.shape;
  return reshape(lined, [batch, places, outputs]);
}

/** With one row. */
function lineOf(x: Tensor): Tensor {
  const [batch = 1, length = 1, channels = 1] = x.shape;
  return reshape(x, [batch, 1, length, channels]);
}

function convolution(operation: string, x: Tensor, weight: Tensor, options: ConvOptions): Tensor {
  return forward(convShape(operation, x, weight, options), x, weight, options.bias);
}

function forward(shape: ConvShape, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const program = programOf("conv", x, weight, bias);
  const y = program.empty(resultShape(shape), x.dtype);
  recordConv(program, shape, "result", { a: x, weight: cast(weight, x.dtype), bias, y });
  return program.record(y, [x, weight, bias], (dy, [needsX, needsWeight, needsBias]) => [
    needsX ? convSource(shape, dy, weight) : undefined,
    needsWeight ? convWeight(shape, x, dy, weight.dtype) : undefined,
    needsBias && bias ? cast(sum(cast(dy, "f32"), { axes: [0, 1, 2] }), bias.dtype) : undefined,
  ]);
}

/** dx[source] = Σ over taps of dy[the place that sees the source under the tap] W[tap]: linear in dy and in W. */
function convSource(shape: ConvShape, dy: Tensor, weight: Tensor): Tensor {
  const program = programOf("conv", dy, weight);
  const dx = program.empty(sourceShape(shape), dy.dtype);
  recordConv(program, shape, "source", { a: dy, weight: cast(weight, dy.dtype), y: dx });
  return program.record(dx, [dy, weight], (g, [needsDy, needsWeight]) => [
    needsDy ? forward(shape, g, weight) : undefined,
    needsWeight ? convWeight(shape, g, dy, weight.dtype) : undefined,
  ]);
}

/** dW[tap] = Σ over places of dy[place] x[source under the tap]: linear in both; its sums are f32. */
function convWeight(shape: ConvShape, x: Tensor, dy: Tensor, dtype: DType): Tensor {
  const program = programOf("conv", x, dy);
  const parts = recordConvWeight(program, shape, x, dy);
  const total = reduceAxes("conv", parts, [0], { kind: "sum" });
  const dWeight = detach(cast(reshape(total, weightShape(shape)), dtype));
  return program.record(dWeight, [x, dy], (g, [needsX, needsDy]) => [
    needsX ? convSource(shape, dy, g) : undefined,
    needsDy ? forward(shape, x, g) : undefined,
  ]);
}
