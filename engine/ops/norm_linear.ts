import { d, tgpu } from "typegpu";
import source from "../../shaders/norm_linear.wgsl" with { type: "text" };
import gradSource from "../../shaders/norm_linear_grad.wgsl" with { type: "text" };
import type { DType } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../core/recording.ts";
import { checkDType, checkSameShape } from "../core/shape.ts";
import { bindingAlignment } from "../core/storage.ts";
import { programOf, type Tensor, viewRows } from "../core/tensor.ts";
import { bucket, defineVariants, type Variant } from "./choose_variant.ts";
import { foldGrid } from "./grid.ts";
import { layerNorm } from "./layer_norm.ts";
import { layerNormGrad } from "./layer_norm_grad.ts";
import { checkLinear, geluGradient, inputGradient, linear } from "./linear.ts";

const Params = d
  .struct({ rows: d.u32, columns: d.u32, depth: d.u32, tiles: d.u32, statisticsStride: d.u32, epsilon: d.f32 })
  .$name("Params");
export const normLinearKernel = defineKernel({
  name: "norm_linear",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.vec4f) },
    weight: { storage: d.arrayOf(d.vec4f) },
    bias: { storage: d.arrayOf(d.vec4f) },
    scale: { storage: d.arrayOf(d.vec4f) },
    shift: { storage: d.arrayOf(d.vec4f) },
    y: { storage: d.arrayOf(d.vec4f), access: "mutable" },
    slope: { storage: d.arrayOf(d.vec4f), access: "mutable" },
    statistics: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
  features: ["subgroups"],
});
const GradParams = d.struct({ rows: d.u32, columns: d.u32, depth: d.u32, statisticsStride: d.u32 }).$name("Params");
export const normLinearGradKernel = defineKernel({
  name: "norm_linear_grad",
  source: gradSource,
  params: GradParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: GradParams },
    x: { storage: d.arrayOf(d.vec4f) },
    dy: { storage: d.arrayOf(d.f32) },
    scale: { storage: d.arrayOf(d.vec4f) },
    shift: { storage: d.arrayOf(d.vec4f) },
    statistics: { storage: d.arrayOf(d.f32) },
    dWeight: { storage: d.arrayOf(d.vec4f), access: "mutable" },
    dBias: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
  features: ["subgroups"],
});

/** Parameters of the layer norm in front. */
export interface NormParameters {
  /** Scale, `[in]` f32. */
  readonly weight: Tensor;
  /** Shift, `[in]` f32. */
  readonly bias: Tensor;
  /** Added to the variance. Default 1e-6, the value of the ViT family. */
  readonly epsilon?: number;
}

export interface NormLinearOptions {
  /** `[out]`, added to every row. */
  readonly bias?: Tensor | undefined;
  /** `gelu`: x cdf(x) with the exact erf, applied after the bias. */
  readonly activation?: "gelu" | undefined;
}

/**
 * `activation(layerNorm(x) Wᵀ + bias)`. Where subgroups and widths (multiples of 4) allow it this is one dispatch that never
 * stores the normalised rows; elsewhere it is layer norm followed by a linear layer.
 *
 * @param x - `[..., in]`, f32 or f16
 * @param weight - `[out, in]`, of a type that {@link linear} takes
 * @returns `[..., out]`
 * @throws RankError, ShapeError, DTypeError, OptionError for an epsilon that is not positive
 */
export function normLinear(x: Tensor, norm: NormParameters, weight: Tensor, options: NormLinearOptions = {}): Tensor {
  const { rows, inputs, outputs } = checkLinear(x, weight, options);
  const variant = chooseNormLinear(x.device, {
    rows,
    inputs,
    outputs,
    dtype: x.dtype,
    gelu: options.activation === "gelu",
  });
  return variant.record(x, norm, weight, options);
}

interface NormLinearProblem {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly dtype: DType;
  readonly gelu: boolean;
}

interface NormLinearVariant extends Variant<NormLinearProblem> {
  readonly record: typeof normLinear;
}

const chooseNormLinear = defineVariants<NormLinearProblem, NormLinearVariant>({
  operation: "norm_linear",
  variants: [
    {
      name: "fused",
      unsupported: (device, { inputs, outputs, dtype }) => {
        if (lanesOf(device) < 8) return "needs subgroups of one known size of at least 8 invocations";
        if (dtype !== "f32") return `needs f32 rows, not ${dtype}`;
        return inputs % 4 === 0 && outputs % 4 === 0
          ? undefined
          : `needs widths that are multiples of 4, not ${inputs} and ${outputs}`;
      },
      record: fused,
    },
    { name: "separate", record: (x, norm, weight, options) => linear(layerNorm(x, norm), weight, options) },
  ],
  // Measured on lavapipe 25 (788 x 192 x 768, processor time): separate takes 0.93 of fused, with GELU 0.88, with gradients 0.83. Fused stays
  // first on CPUs because it saves a launch of each layer and the memory of the normalised rows; `bench --tune` chooses by time. GPUs have
  // the bandwidth to spare and run shared tiles faster.
  order: (device) => (device.isSoftware ? ["fused", "separate"] : ["separate", "fused"]),
  deviates: ({ name }) => (name === "fused" ? "it adds along the rows by threads of subgroups" : undefined),
  shapeClass: ({ rows, inputs, outputs, dtype, gelu }) =>
    `${bucket(rows)}x${inputs}x${outputs}${gelu ? " gelu" : ""}${dtype === "f32" ? "" : ` ${dtype}`}`,
  example: (program, { record }, { rows, inputs, outputs, dtype, gelu }) => {
    const x = program.input("x", [rows, inputs], dtype);
    const norm = { weight: program.input("scale", [inputs]), bias: program.input("shift", [inputs]) };
    const [weight, bias] = [program.input("weight", [outputs, inputs]), program.input("bias", [outputs])];
    const y = record(x, norm, weight, gelu ? { bias, activation: "gelu" } : { bias });
    const seed = program.input("dy", y.shape, y.dtype);
    return [y, ...program.gradients(y, [x, norm.weight, norm.bias, weight, bias], seed)];
  },
});

function lanesOf(device: Device): number {
  return device.subgroupSize ?? 0;
}

const tileRows = 32; // of both shaders
/** Workgroups that leave several to every core of most CPUs, and tiles of one after which the gain is small. */
const [fewestGroups, mostTiles] = [64, 8];

/** Tiles of rows that one workgroup computes: it adds up scale and shift times the weights once for all of them. */
function tilesPerGroup(rowTiles: number, across: number): number {
  return Math.max(1, Math.min(mostTiles, rowTiles, Math.floor((rowTiles * across) / fewestGroups)));
}

function fused(x: Tensor, norm: NormParameters, weight: Tensor, options: NormLinearOptions = {}): Tensor {
  const lanes = lanesOf(x.device);
  const { bias, activation } = options;
  const { weight: scale, bias: shift, epsilon = 1e-6 } = norm;
  if (!(epsilon > 0)) throw new OptionError(`normLinear: epsilon ${epsilon} is not positive; the usual value is 1e-6`);
  const program = programOf("normLinear", x, scale, shift, weight, bias);
  const { rows, inputs, outputs } = checkLinear(x, weight, options);
  for (const [name, operand] of Object.entries({ "norm.weight": scale, "norm.bias": shift })) {
    checkSameShape("normLinear", name, operand.shape, [inputs]);
    checkDType("normLinear", name, operand, ["f32"]);
  }
  const y = program.empty([...x.shape.slice(0, -1), outputs]);
  const slope = activation === "gelu" && !program.inference ? program.empty(y.shape) : undefined;
  // Means and reciprocal deviations are bound one by one later, so both start at an aligned offset.
  const statisticsStride = Math.ceil((rows * 4) / bindingAlignment) * (bindingAlignment / 4);
  const statistics = program.empty([2, statisticsStride]);
  const across = Math.ceil(outputs / (4 * lanes));
  const tiles = tilesPerGroup(Math.ceil(rows / tileRows), across);
  program.dispatch(
    normLinearKernel,
    { rows, columns: outputs / 4, depth: inputs / 4, tiles, statisticsStride, epsilon },
    { x, weight, bias: bias ?? scale, scale, shift, y, slope: slope ?? program.empty([4]), statistics },
    foldGrid(program.device, across, Math.ceil(rows / (tiles * tileRows))),
    {
      operation: "normLinear",
      constants: { lanes, hasBias: bias ? 1 : 0, gelu: activation ? 1 : 0, keepSlope: slope ? 1 : 0 },
      flops: 2 * rows * inputs * outputs,
    },
  );
  // With n = LN(x), p = n Wᵀ + b:  dp = dy gelu'(p),  dW = dpᵀ n,  db = sum of dp,  dn = dp W, and the layer norm's own rule.
  return program.record(
    y,
    [x, scale, shift, weight, bias],
    (dy, [needsX, needsScale, needsShift, needsWeight, needsBias], pending) => {
      const target = program.resolve();
      const dp = slope ? geluGradient(target, slope, dy) : dy;
      const [dWeight, dBias] =
        needsWeight || needsBias ? parameterGradients(target, { x, scale, shift, weight, statistics, dp, lanes }) : [];
      if (!needsX && !needsScale && !needsShift) return [undefined, undefined, undefined, dWeight, dBias];
      const dn = inputGradient(target, x, weight, dp);
      const kept = { mean: viewRows(statistics, 0, 1), rstd: viewRows(statistics, 1, 2), weight: scale };
      const residual = needsX ? pending.take(0) : undefined;
      const normGradients = layerNormGrad(x, kept, dn, residual ? { residual } : {});
      return [normGradients.dx, normGradients.dWeight, normGradients.dBias, dWeight, dBias];
    },
  );
}

interface Kept {
  readonly x: Tensor;
  readonly scale: Tensor;
  readonly shift: Tensor;
  readonly weight: Tensor;
  readonly statistics: Tensor;
  readonly dp: Tensor;
  readonly lanes: number;
}

function parameterGradients(program: Program, kept: Kept): [Tensor, Tensor] {
  const { x, scale, shift, weight, statistics, dp, lanes } = kept;
  const [columns = 1, depth = 1] = weight.shape;
  const rows = x.size / depth;
  const dWeight = program.empty(weight.shape);
  const dBias = program.empty([columns]);
  program.dispatch(
    normLinearGradKernel,
    { rows, columns, depth: depth / 4, statisticsStride: statistics.shape[1] ?? rows },
    { x, dy: dp, scale, shift, statistics, dWeight, dBias },
    foldGrid(program.device, Math.ceil(depth / (4 * lanes)), Math.ceil(columns / tileRows)),
    { operation: "normLinear", constants: { lanes }, flops: 2 * rows * columns * depth },
  );
  return [dWeight, dBias];
}
