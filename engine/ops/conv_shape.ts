import { DTypeError, OptionError, ShapeError } from "../core/errors.ts";
import { checkDType, checkRank, checkSameShape, showShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

/** Along rows and columns of an image. */
export type Pair = readonly [rows: number, columns: number];

export interface ConvOptions {
  /** `[out]`, added to every place; f32, or of the type of `x`. */
  readonly bias?: Tensor | undefined;
  /** Places of the source between neighbouring places of the result; one number or `[rows, columns]`. Default 1. */
  readonly stride?: number | Pair;
  /** Zeros on both sides of the source. Default 0. */
  readonly padding?: number | Pair;
  /** Places of the source between neighbouring taps of the kernel. Default 1. */
  readonly dilation?: number | Pair;
  /** Parts of the channels that do not mix; they divide the channels in and out. Default 1. */
  readonly groups?: number;
}

/** Sizes of a convolution, all that its kernels depend on. */
export interface ConvShape {
  readonly images: number;
  /** Rows and columns of the source, of the result and of the kernel. */
  readonly sources: Pair;
  readonly places: Pair;
  readonly taps: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly padding: Pair;
  readonly groups: number;
  /** Channels of all groups. */
  readonly inputs: number;
  readonly outputs: number;
}

/** @throws RankError, ShapeError, DTypeError, OptionError */
export function convShape(operation: string, x: Tensor, weight: Tensor, options: ConvOptions): ConvShape {
  checkRank(operation, "x", x, 4);
  checkRank(operation, "weight", weight, 4);
  checkDType(operation, "x", x, ["f32", "f16"]);
  checkDType(operation, "weight", weight, x.dtype === "f32" ? ["f32"] : ["f32", "f16"]);
  const [images = 1, rows = 1, columns = 1, inputs = 1] = x.shape;
  const [outputs = 1, tapRows = 1, tapColumns = 1, groupInputs = 1] = weight.shape;
  const { groups = 1 } = options;
  const stride = pairOf(operation, "stride", options.stride ?? 1, 1);
  const dilation = pairOf(operation, "dilation", options.dilation ?? 1, 1);
  const padding = pairOf(operation, "padding", options.padding ?? 0, 0);
  if (!Number.isInteger(groups) || groups < 1 || inputs % groups !== 0 || outputs % groups !== 0) {
    throw new OptionError(
      `${operation}: groups is ${groups}, expected a positive integer that divides the ${inputs} channels of x and the ${outputs} of weight`,
    );
  }
  if (groupInputs * groups !== inputs) {
    throw new ShapeError(
      `${operation}: weight ${showShape(weight.shape)} takes ${groupInputs} channels per group and x ${showShape(x.shape)} has ${inputs / groups}; expected weight [out, …taps, ${inputs / groups}]`,
    );
  }
  const placesAlong = (axis: 0 | 1, length: number, count: number): number => {
    const reach = dilation[axis] * (count - 1) + 1;
    const room = length + 2 * padding[axis] - reach;
    if (room >= 0) return Math.floor(room / stride[axis]) + 1;
    throw new ShapeError(
      `${operation}: a kernel of ${count} taps reaches over ${reach} places, and the source has ${length} with padding ${padding[axis]}; pad more or use a smaller kernel`,
    );
  };
  const places: Pair = [placesAlong(0, rows, tapRows), placesAlong(1, columns, tapColumns)];
  if (options.bias) {
    checkSameShape(operation, "bias", options.bias.shape, [outputs]);
    if (options.bias.dtype !== "f32" && options.bias.dtype !== x.dtype) {
      throw new DTypeError(`${operation}: bias is ${options.bias.dtype}, expected f32 or ${x.dtype}; use cast`);
    }
  }
  const sources: Pair = [rows, columns];
  const taps: Pair = [tapRows, tapColumns];
  return { images, sources, places, taps, stride, dilation, padding, groups, inputs, outputs };
}

/** One number stands for both. @throws OptionError for others than integers of at least `least` */
export function pairOf(operation: string, name: string, value: number | Pair, least: number): Pair {
  const both: Pair = typeof value === "number" ? [value, value] : value;
  if (both.length !== 2 || both.some((length) => !Number.isInteger(length) || length < least)) {
    throw new OptionError(
      `${operation}: ${name} is ${JSON.stringify(value)}, expected one or two integers of at least ${least}`,
    );
  }
  return both;
}
