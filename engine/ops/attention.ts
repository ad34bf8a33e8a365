import { OptionError, RankError, ShapeError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, showShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { chooseAttention } from "./attention_choice.ts";
import { type AttentionKernels, type AttentionVariant, segmentsPerLaunch } from "./attention_kernels.ts";

/** A run of images with equally many tokens within concatenated token rows. */
export interface AttentionSegment {
  /** Row of the first token of the first image. */
  readonly firstRow: number;
  /** Number of images. */
  readonly batch: number;
  /** Tokens of each image; they attend to each other only. */
  readonly tokens: number;
}

export interface AttentionOptions {
  readonly heads: number;
  /** Multiplies q·k; headDim ** -0.5 by default (arXiv 1706.03762, eq. 1). */
  readonly scale?: number;
  /** For `qkv` of two axes: which rows belong together. The segments cover all rows in their order. */
  readonly segments?: readonly AttentionSegment[];
}

/** What the kernels need to know of one call. */
export interface AttentionShape {
  readonly rows: number;
  readonly heads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly segments: readonly AttentionSegment[];
}

/** Largest head dimension: its sums stay in function memory. */
const maxHeadDim = 128;

/**
 * Softmax attention softmax(scale q kᵀ) v of every image and head, without a tokens × tokens tensor in memory. q, k and v are
 * read from the rows of one linear layer, and the result is in the order that the next one reads.
 *
 * @param qkv - `[B, T, 3·H·headDim]`, or `[rows, 3·H·headDim]` with `segments`; each row is q, k, v; in each the heads in turn.
 *   f32, or f16 with f32 sums; scores stay within ±1e30
 * @returns `[B, T, H·headDim]` or `[rows, H·headDim]`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function attention(qkv: Tensor, options: AttentionOptions): Tensor {
  checkDType("attention", "qkv", qkv, ["f32", "f16"]);
  const shape = describe(qkv, options);
  const program = programOf("attention", qkv);
  const trains = !program.inference;
  const variant = chooseAttention(program.device, shape, trains, (trial, candidate) =>
    recordTrial(trial, candidate, qkv, shape, trains),
  );
  const { y, logSums } = forward(program, variant, qkv, shape, trains);
  return program.record(y, [qkv], (dy) => [
    backward(programOf("attention", qkv, y, dy), variant, { qkv, y, logSums, dy }, shape),
  ]);
}

function describe(qkv: Tensor, { heads, scale, segments }: AttentionOptions): AttentionShape {
  const rank = segments ? 2 : 3;
  if (qkv.shape.length !== rank) {
    throw new RankError(
      `attention: qkv has shape ${showShape(qkv.shape)}, expected ${segments ? "[rows, 3·width] with segments" : "[batch, tokens, 3·width]"}; reshape it first`,
    );
  }
  const rows = qkv.size / (qkv.shape.at(-1) ?? 1);
  const width = (qkv.shape.at(-1) ?? 0) / 3;
  if (!Number.isInteger(width))
    throw new ShapeError(`attention: rows of ${3 * width} values are not q, k and v of one width; expected 3·width`);
  if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0) {
    throw new OptionError(
      `attention: width ${width} is not divisible by ${heads} heads; choose heads from ${headCounts(width)} or change the width`,
    );
  }
  const headDim = width / heads;
  if (headDim > maxHeadDim) {
    throw new OptionError(
      `attention: width ${width} with ${heads} heads gives a head dimension of ${headDim}, over ${maxHeadDim}; use more heads`,
    );
  }
  if (scale !== undefined && !Number.isFinite(scale))
    throw new OptionError(`attention: scale ${scale} is not finite; leave it out for headDim ** -0.5`);
  const [batch = 1, tokens = 1] = qkv.shape;
  const images = segments ?? [{ firstRow: 0, batch, tokens }];
  checkSegments(images, rows);
  return { rows, heads, headDim, scale: scale ?? headDim ** -0.5, segments: images };
}

function headCounts(width: number): string {
  const counts = Array.from({ length: Math.min(width, 32) }, (_, i) => i + 1);
  return counts.filter((heads) => width % heads === 0 && width / heads <= maxHeadDim).join(", ");
}

function checkSegments(segments: readonly AttentionSegment[], rows: number): void {
  let next = 0;
  for (const { firstRow, batch, tokens } of segments) {
    if (firstRow !== next || !(Number.isInteger(batch) && batch > 0) || !(Number.isInteger(tokens) && tokens > 0)) {
      throw new ShapeError(
        `attention: a segment of ${batch} images with ${tokens} tokens starts at row ${firstRow}, expected whole images from row ${next}; list the segments in order and without gaps`,
      );
    }
    next += batch * tokens;
  }
  if (next !== rows) {
    throw new ShapeError(
      `attention: the segments cover ${next} rows, but qkv has ${rows}; every row must belong to one segment`,
    );
  }
}

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

/** Workgroups along the first axis; further tiles lie along the third. */
const tilesPerLine = 32768;

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
  const wide = headDim % 4 === 0 ? variant.wideKernels : undefined;
  const kernel = (wide ?? variant.kernels)[pass];
  const dtype = operands.qkv?.dtype ?? "f32";
  const Operand = wide ? `vec4<${dtype}>` : dtype;
  for (let first = 0; first < segments.length; first += segmentsPerLaunch) {
    const served = segments.slice(first, first + segmentsPerLaunch);
    const tilesOf = served.map(({ batch, tokens }) => batch * Math.ceil(tokens / variant.tileRows(device)));
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
    const groups = [Math.min(tiles, tilesPerLine), heads, Math.ceil(tiles / tilesPerLine)];
    program.dispatch(kernel, params, operands, groups, {
      constants: { ...constants, ...variant.constants(device) },
      declarations: { headDim: `${headDim}u`, Operand, ...variant.declarations(device) },
      flops: flopsPerPair * pairs * heads * headDim,
    });
  }
}

/** The same work on inputs of its own, for a measurement. */
function recordTrial(
  program: Program,
  variant: AttentionVariant,
  like: Tensor,
  shape: AttentionShape,
  trains: boolean,
): void {
  const qkv = program.input("qkv", like.shape, like.dtype);
  const { y, logSums } = forward(program, variant, qkv, shape, trains);
  if (trains) backward(program, variant, { qkv, y, logSums, dy: program.input("dy", y.shape, y.dtype) }, shape);
}
