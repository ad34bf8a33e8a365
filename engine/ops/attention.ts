import type { DType } from "../core/dtype.ts";
import type { Declarations } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../core/recording.ts";
import { checkDType, checkSameShape, type Shape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import {
  type AttentionKernels,
  type AttentionVariant,
  attentionVariants,
  keepsQueries,
  segmentsPerLaunch,
} from "./attention_kernels.ts";
import { attentionMatrixCandidates } from "./attention_matrix.ts";
import { type AttentionOptions, type AttentionShape, attentionShape } from "./attention_shape.ts";
import { bucket, defineVariants } from "./choose_variant.ts";
import { foldGrid } from "./grid.ts";

/**
 * Softmax attention softmax(scale q kᵀ) v of every image and head, without a tokens × tokens tensor in memory. q, k and v are
 * read from the rows of one linear layer, and the result is in the order that the next one reads. NaN in a query spoils its row of the
 * head, in a key or value all rows of its image and head; so do infinities.
 *
 * @param qkv - `[B, T, 3·H·headDim]`, or `[rows, 3·H·headDim]` with `segments`; each row is q, k, v; in each the heads in turn.
 *   f32, or f16 with f32 sums; scores stay within ±1e30
 * @returns `[B, T, H·headDim]` or `[rows, H·headDim]`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function attention(qkv: Tensor, options: AttentionOptions): Tensor {
  checkDType("attention", "qkv", qkv, ["f32", "f16"]);
  const shape = attentionShape(qkv, options);
  const program = programOf("attention", qkv);
  const trains = !program.inference;
  const variant = chooseAttention(program.device, { shape, trains, qkv: qkv.shape, dtype: qkv.dtype });
  const { y, logSums } = forward(program, variant, qkv, shape, trains);
  return program.record(y, [qkv], (dy) => [
    backward(programOf("attention", qkv, y, dy), variant, { qkv, y, logSums, dy }, shape),
  ]);
}

interface AttentionProblem {
  readonly shape: AttentionShape;
  /** Whether a gradient may be asked for. */
  readonly trains: boolean;
  readonly qkv: Shape;
  readonly dtype: DType;
}

/** Variants that are measured for one class of shapes: a measurement compiles each of them. */
const mostCandidates = 4;

const chooseAttention = defineVariants<AttentionProblem, AttentionVariant>({
  operation: "attention",
  variants: attentionVariants,
  // Measured on lavapipe with test/bench/attention: subgroups are faster than registers, and both far faster than workgroup
  // memory, whose loads and barriers a CPU pays for; on GPUs workgroup memory has the best reuse per load, and queries that stay there
  // are loaded once; matrices multiply several times as fast as that (guesses: not measured on a GPU).
  order: (device, { shape: { headDim }, dtype }) => {
    const matrices = attentionMatrixCandidates(device, headDim, dtype);
    if (device.isSoftware) return ["subgroup", "register", "shared", ...matrices.slice(0, 1)];
    const plain = keepsQueries(device, headDim, dtype) ? ["queries", "shared", "register"] : ["shared", "register"];
    return [...matrices, ...plain].slice(0, mostCandidates);
  },
  deviates: ({ canonicalDeclarations }) =>
    canonicalDeclarations ? undefined : "it adds the products of a score in another order",
  shapeClass: ({ shape: { rows, heads, headDim, segments }, trains, dtype }) => {
    const tokens = Math.max(...segments.map((segment) => segment.tokens));
    const sizes = `${headDim}d ${bucket(tokens)} tokens ${bucket(rows * heads)} rows`;
    return `${trains ? "training" : "forward"} ${sizes}${dtype === "f32" ? "" : ` ${dtype}`}`;
  },
  example: (program, variant, { shape, trains, qkv: lengths, dtype }) => {
    const qkv = program.input("qkv", lengths, dtype);
    const { y, logSums } = forward(program, variant, qkv, shape, trains);
    if (!trains) return [y];
    const dy = program.input("dy", y.shape, dtype);
    return [y, backward(program, variant, { qkv, y, logSums, dy }, shape)];
  },
});

function forward(
  program: Program,
  variant: AttentionVariant,
  qkv: Tensor,
  shape: AttentionShape,
  keepLogSums: boolean,
): { y: Tensor; logSums: Tensor } {
  const { rows, heads, headDim } = shape;
  const y = program.empty([...qkv.shape.slice(0, -1), heads * headDim], qkv.dtype);
  const logSums = program.empty(keepLogSums ? [rows, heads] : [1]); // a binding must have memory
  launch(program, variant, "forward", shape, { qkv, y, logSums }, 4, { keepLogSums: keepLogSums ? 1 : 0 });
  return { y, logSums };
}

/** d(qkv), packed as qkv is: the first launch writes the part of q, the second those of k and v. */
function backward(
  program: Program,
  variant: AttentionVariant,
  { qkv, y, logSums, dy }: { qkv: Tensor; y: Tensor; logSums: Tensor; dy: Tensor },
  shape: AttentionShape,
): Tensor {
  checkSameShape("attention", "dy", dy.shape, y.shape);
  checkDType("attention", "dy", dy, [qkv.dtype]);
  const dqkv = program.empty(qkv.shape, qkv.dtype);
  const deltas = program.empty([shape.rows, shape.heads]);
  launch(program, variant, "gradQuery", shape, { qkv, y, logSums, dy, dqkv, deltas }, 6);
  launch(program, variant, "gradKey", shape, { qkv, logSums, deltas, dy, dqkv }, 8);
  return dqkv;
}

/** @param flopsPerPair - operations per query, key and dimension: two for each product of matrices */
function launch(
  program: Program,
  variant: AttentionVariant,
  pass: keyof AttentionKernels,
  { heads, headDim, scale, segments }: AttentionShape,
  operands: Readonly<Record<string, Tensor>>,
  flopsPerPair: number,
  constants: Readonly<Record<string, number>> = {},
): void {
  const { device } = program;
  const dtype = operands.qkv?.dtype ?? "f32";
  const wide = headDim % 4 === 0 ? variant.wideKernels?.(device, headDim, dtype)[pass] : undefined;
  const kernel = wide ?? variant.kernels[pass];
  const Operand = wide ? `vec4<${dtype}>` : dtype;
  for (let first = 0; first < segments.length; first += segmentsPerLaunch) {
    const served = segments.slice(first, first + segmentsPerLaunch);
    const tilesOf = served.map(({ batch, tokens }) => batch * Math.ceil(tokens / variant.tileRows(device, kernel)));
    const tiles = tilesOf.reduce((sum, count) => sum + count, 0);
    const vector = (item: (index: number) => number, unused: number): number[] =>
      Array.from({ length: segmentsPerLaunch }, (_, i) => (i < served.length ? item(i) : unused));
    const params = {
      tiles,
      heads,
      scale,
      depth: wide ? headDim / 4 : headDim,
      firstTile: vector((i) => tilesOf.slice(0, i).reduce((sum, count) => sum + count, 0), 0xffffffff),
      firstRow: vector((i) => served[i]?.firstRow ?? 0, 0),
      tokens: vector((i) => served[i]?.tokens ?? 1, 1),
    };
    const pairs = served.reduce((sum, { batch, tokens }) => sum + batch * tokens * tokens, 0);
    program.dispatch(kernel, params, operands, foldGrid(device, tiles, heads), {
      operation: "attention",
      constants: { ...constants, ...variant.constants(device) },
      declarations: { headDim: `${headDim}u`, Operand, ...declarationsOf(variant, pass, device) },
      flops: flopsPerPair * pairs * heads * headDim,
    });
  }
}

function declarationsOf(variant: AttentionVariant, pass: keyof AttentionKernels, device: Device): Declarations {
  const declarations = variant.declarations(device);
  if (!device.reproducible || pass !== "forward") return declarations;
  return { ...declarations, ...variant.canonicalDeclarations?.(device) };
}
