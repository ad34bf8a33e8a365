import { d, tgpu } from "typegpu";
import source from "../../shaders/conv.wgsl" with { type: "text" };
import subgroupSource from "../../shaders/conv_subgroup.wgsl" with { type: "text" };
import weightSource from "../../shaders/conv_weight.wgsl" with { type: "text" };
import weightSubgroupSource from "../../shaders/conv_weight_subgroup.wgsl" with { type: "text" };
import type { DType } from "../core/dtype.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../core/recording.ts";
import { sizeOf } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { bucket, defineVariants, type Variant } from "./choose_variant.ts";
import type { ConvShape, Pair } from "./conv_shape.ts";
import { elementTypes } from "./elementwise.ts";
import { foldGrid } from "./grid.ts";

const Params = d
  .struct({
    rows: d.u32,
    columns: d.u32,
    channels: d.u32,
    groups: d.u32,
    aPlace: d.u32,
    yPlace: d.u32,
    bTap: d.u32,
    bChannel: d.u32,
    bColumn: d.u32,
    bGroup: d.u32,
    places: d.vec2u,
    sources: d.vec2u,
    taps: d.vec2u,
    stride: d.vec2i,
    dilation: d.vec2i,
    shift: d.vec2i,
    divisor: d.vec2i,
  })
  .$name("Params");
const elements = d.arrayOf(d.vec4f);
const numbers = d.arrayOf(d.f32);
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  a: { storage: elements },
  b: { storage: elements },
  bias: { storage: numbers },
  y: { storage: numbers, access: "mutable" },
});
export const convKernel = defineKernel({ name: "conv", source, params: Params, layout });
export const convSubgroupKernel = defineKernel({
  name: "conv_subgroup",
  source: subgroupSource,
  params: Params,
  layout,
  features: ["subgroups"],
});

const WeightParams = d
  .struct({
    rows: d.u32,
    columns: d.u32,
    lines: d.u32,
    groups: d.u32,
    parts: d.u32,
    linesPerPart: d.u32,
    dyPlace: d.u32,
    xPlace: d.u32,
    places: d.vec2u,
    sources: d.vec2u,
    taps: d.vec2u,
    stride: d.vec2i,
    dilation: d.vec2i,
    shift: d.vec2i,
  })
  .$name("Params");
export const convWeightKernel = defineKernel({
  name: "conv_weight",
  source: weightSource,
  params: WeightParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: WeightParams },
    dy: { storage: elements },
    x: { storage: elements },
    dWeight: { storage: numbers, access: "mutable" },
  }),
});
export const convWeightSubgroupKernel = defineKernel({
  name: "conv_weight_subgroup",
  source: weightSubgroupSource,
  params: WeightParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: WeightParams },
    dy: { storage: numbers },
    x: { storage: elements },
    dWeight: { storage: elements, access: "mutable" },
  }),
  features: ["subgroups"],
});

interface ConvProblem {
  readonly shape: ConvShape;
  /** What is computed: the result, or from its gradient that of the source or of the weight. */
  readonly of: "result" | "source" | "weight";
  readonly dtype: DType;
}

const variants: readonly Variant<ConvProblem>[] = [
  {
    name: "subgroup",
    unsupported: (device, problem) => {
      if ((device.subgroupSize ?? 0) < 8) return "needs subgroups of one known size of at least 8 invocations";
      return isWide(problem.shape) ? undefined : "needs channels of a group that are multiples of 4";
    },
  },
  { name: "register" },
];

const chooseConv = defineVariants<ConvProblem, Variant<ConvProblem>>({
  operation: "conv",
  variants,
  order: (device) => (device.isSoftware ? ["subgroup", "register"] : ["register", "subgroup"]),
  deviates: ({ name }, { of }) =>
    name === "subgroup" && of === "weight" ? "it adds products of all lines in one sum" : undefined,
  shapeClass: ({ shape, of, dtype }) => {
    const { images, places, taps, groups, inputs, outputs } = shape;
    const lengths = [images * sizeOf(places), inputs / groups, outputs / groups].map(bucket).join("x");
    return `${of} ${lengths} taps ${sizeOf(taps)} groups ${groups} ${dtype}`;
  },
  example: (program, variant, { shape, of, dtype }) => {
    const x = program.input("x", sourceShape(shape), dtype);
    const dy = program.input("dy", resultShape(shape), dtype);
    if (of === "weight") return [launchWeight(program, variant, shape, x, dy)];
    const weight = program.input("weight", weightShape(shape), dtype);
    const [a, y] = of === "result" ? [x, program.empty(dy.shape, dtype)] : [dy, program.empty(x.shape, dtype)];
    launch(program, variant, shape, of, { a, weight, y });
    return [y];
  },
});

export function sourceShape({ images, sources, inputs }: ConvShape): number[] {
  return [images, ...sources, inputs];
}

export function resultShape({ images, places, outputs }: ConvShape): number[] {
  return [images, ...places, outputs];
}

export function weightShape({ outputs, taps, inputs, groups }: ConvShape): number[] {
  return [outputs, ...taps, inputs / groups];
}

interface ConvOperands {
  readonly a: Tensor;
  readonly weight: Tensor;
  readonly bias?: Tensor | undefined;
  readonly y: Tensor;
}

/** Records a convolution of the source `a`, or with `of: "source"` the gradient of the source from that of the result, `a`. */
export function recordConv(program: Program, shape: ConvShape, of: "result" | "source", operands: ConvOperands): void {
  const variant = chooseConv(program.device, { shape, of, dtype: operands.a.dtype });
  launch(program, variant, shape, of, operands);
}

function launch(
  program: Program,
  variant: Variant<ConvProblem>,
  shape: ConvShape,
  of: "result" | "source",
  { a, weight, bias, y }: ConvOperands,
): void {
  const transposed = of === "source";
  const { images, sources, places, taps, stride, dilation, padding, groups, inputs, outputs } = shape;
  const [channelsIn, channelsOut] = [inputs / groups, outputs / groups];
  const tapCount = sizeOf(taps);
  const ofWeight = { bTap: channelsIn, bGroup: channelsOut * tapCount * channelsIn };
  const [own, other] = [tapCount * channelsIn, 1]; // strides of the weight along out and in
  const ones: Pair = [1, 1];
  const params = transposed
    ? {
        ...{ rows: images * sizeOf(sources), columns: channelsIn, channels: channelsOut },
        ...{ aPlace: outputs, yPlace: inputs, ...ofWeight, bChannel: own, bColumn: other },
        ...{ places: sources, sources: places, stride: ones, shift: padding, divisor: stride },
        dilation: dilation.map((step) => -step),
      }
    : {
        ...{ rows: images * sizeOf(places), columns: channelsOut, channels: channelsIn },
        ...{ aPlace: inputs, yPlace: outputs, ...ofWeight, bChannel: other, bColumn: own },
        ...{ places, sources, stride, dilation, divisor: ones },
        shift: padding.map((zeros) => -zeros),
      };
  const isSubgroup = variant.name === "subgroup";
  const lanes = program.device.subgroupSize ?? 0;
  const [tileRows, tileColumns] = isSubgroup ? [subgroupRows, 4 * lanes] : [32, 32];
  const grid = foldGrid(
    program.device,
    Math.ceil(params.columns / tileColumns),
    Math.ceil(params.rows / tileRows),
    groups,
  );
  const wide = isWide(shape);
  const { Element, Stored } = elementTypes(wide, a.dtype);
  program.dispatch(
    isSubgroup ? convSubgroupKernel : convKernel,
    { ...params, groups, taps },
    { a, b: weight, bias: bias ?? weight, y },
    grid,
    {
      operation: "conv",
      constants: {
        hasBias: bias ? 1 : 0,
        byColumns: Number(transposed),
        divides: Number(transposed && sizeOf(stride) > 1),
        ...(isSubgroup ? { lanes } : {}),
      },
      declarations: {
        Stored,
        Bias: bias?.dtype ?? "f32",
        Result: y.dtype,
        ...(isSubgroup ? {} : { Element, width: wide ? "4u" : "1u" }),
      },
      flops: 2 * images * sizeOf(places) * outputs * tapCount * channelsIn,
    },
  );
}

/** Places of a tile, as in the shader. */
const subgroupRows = 16;

function isWide({ inputs, outputs, groups }: ConvShape): boolean {
  return (inputs / groups) % 4 === 0 && (outputs / groups) % 4 === 0;
}

/**
 * Records the gradient with respect to the weight, in parts.
 *
 * @returns `[parts, …weightShape]`, f32
 */
export function recordConvWeight(program: Program, shape: ConvShape, x: Tensor, dy: Tensor): Tensor {
  const variant = chooseConv(program.device, { shape, of: "weight", dtype: x.dtype });
  return launchWeight(program, variant, shape, x, dy);
}

function launchWeight(
  program: Program,
  variant: Variant<ConvProblem>,
  shape: ConvShape,
  x: Tensor,
  dy: Tensor,
): Tensor {
  const { images, sources, places, taps, stride, dilation, padding, groups, inputs, outputs } = shape;
  const [rows, columns] = [outputs / groups, inputs / groups];
  const isSubgroup = variant.name === "subgroup";
  const lanes = program.device.subgroupSize ?? 0;
  const [tileRows, tileColumns] = isSubgroup ? [subgroupRows, 4 * lanes] : [32, 32];
  const [across, down] = [Math.ceil(columns / tileColumns), Math.ceil(rows / tileRows)];
  const kernels = sizeOf(taps) * groups;
  const lines = images * places[0];
  const linesPerPart = Math.ceil(lines / Math.min(lines, partsWanted(program.device, across * down * kernels)));
  const parts = Math.ceil(lines / linesPerPart);
  const dWeight = program.empty([parts, ...weightShape(shape)]);
  const wide = isWide(shape);
  const types = elementTypes(wide, x.dtype);
  program.dispatch(
    isSubgroup ? convWeightSubgroupKernel : convWeightKernel,
    {
      ...{ rows, columns, lines, groups, parts, linesPerPart, dyPlace: outputs, xPlace: inputs },
      ...{ places, sources, taps, stride, dilation },
      shift: padding.map((zeros) => -zeros),
    },
    { dy, x, dWeight },
    foldGrid(program.device, across, down, kernels * parts),
    {
      operation: "conv",
      constants: isSubgroup ? { lanes } : {},
      declarations: isSubgroup ? { Left: dy.dtype, Stored: types.Stored } : { ...types, width: wide ? "4u" : "1u" },
      flops: 2 * images * sizeOf(places) * outputs * sizeOf(taps) * columns,
    },
  );
  return dWeight;
}

/** Parts that give every core or multiprocessor work, beside the tiles of the weight; where the bytes may not depend on the device, few. */
function partsWanted(device: Device, tiles: number): number {
  const wanted = device.isSoftware || device.reproducible ? 8 : 512;
  return Math.min(64, Math.ceil(wanted / tiles));
}
