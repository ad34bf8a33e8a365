import type { MatrixShape } from "../core/device_parts.ts";

/** How many subgroups share the keys of a tile, and how many matrices of queries each of them serves. */
export interface AttentionForm {
  readonly subgroups: number;
  readonly matrices: number;
}

/** The lengths of an attention kernel whose subgroups multiply matrices at once. */
export interface AttentionTiling extends AttentionForm {
  readonly shape: MatrixShape;
  readonly subgroupSize: number;
  readonly headDim: number;
  /** Invocations of a workgroup. */
  readonly invocations: number;
  /** Queries of a subgroup, and of a workgroup. */
  readonly ownRows: number;
  readonly rows: number;
  /** Keys of a step. */
  readonly keys: number;
  /** The head dimension, padded with zeros to whole matrices. */
  readonly dims: number;
  /** Invocations that share a row of weights. */
  readonly parts: number;
  /** Elements from one row to the next: of queries, keys and values; of scores; of weights. */
  readonly strideTile: number;
  readonly strideScores: number;
  readonly strideWeights: number;
  /** Bytes of workgroup memory. */
  readonly memoryBytes: number;
}

/** Steps of matrices in a tile of keys. */
const stepsAtOnce = 2;

/** @param shape - of f16 or f32 operands with f32 sums; its lengths are multiples of 8 */
export function attentionTiling(
  shape: MatrixShape,
  subgroupSize: number,
  form: AttentionForm,
  headDim: number,
): AttentionTiling {
  const bytes = shape.component === "f32" ? 4 : 2;
  const alignment = 16 / bytes; // Vulkan's matrix loads want offsets and strides of whole 16 bytes
  const step = leastCommonMultiple(shape.columns, shape.depth); // keys are columns first and depth then, dimensions the other way round
  const keys = stepsAtOnce * step;
  const dims = Math.ceil(headDim / step) * step;
  const ownRows = form.matrices * shape.rows;
  const rows = form.subgroups * ownRows;
  const parts = Math.max(1, Math.floor(subgroupSize / ownRows));
  // 16 bytes more than a row holds, so that rows below each other start in other memory banks.
  const [strideTile, strideScores, strideWeights] = [dims + alignment, keys + 4, keys + alignment];
  const memoryBytes =
    bytes * (Math.max(rows, 2 * keys) * strideTile + rows * strideWeights) +
    4 * (rows * strideScores + rows + 2 * rows * parts + form.subgroups);
  return {
    ...form,
    shape,
    subgroupSize,
    headDim,
    invocations: form.subgroups * subgroupSize,
    ownRows,
    rows,
    keys,
    dims,
    parts,
    strideTile,
    strideScores,
    strideWeights,
    memoryBytes,
  };
}

/**
 * Every index and condition of the kernel, as WGSL expressions of unsigned numbers. The text of the kernel is made of them, and the
 * tests evaluate the very same ones, also for matrices of adapters that are not at hand.
 */
export function attentionIndices(tiling: AttentionTiling) {
  const { shape, subgroupSize, headDim, ownRows, rows, keys, dims, parts } = tiling;
  const { strideTile, strideScores, strideWeights } = tiling;
  const vectors = dims / 4;
  return {
    // Of vector i of a tile on its way in: its row, its place in the row, whether the head has it, and where its first element goes.
    countQueries: rows * vectors,
    countKeys: keys * vectors,
    rowIn: `i / ${vectors}`,
    vectorIn: `i % ${vectors}`,
    hasVector: `vectorIn < ${headDim / 4}`,
    toTile: `rowIn * ${strideTile} + vectorIn * 4`,
    toValues: `(${keys} + rowIn) * ${strideTile} + vectorIn * 4`,
    // Of matrix r of a subgroup's queries at dimension d, of the keys from column c, of the values at key k from dimension c.
    ownRow: `subgroup * ${ownRows}`,
    query: (r: number, d: number) => `(ownRow + ${r * shape.rows}) * ${strideTile} + ${d}`,
    key: (c: number, d: number) => `${c * strideTile + d}`,
    value: (k: number, c: number) => `${(keys + k) * strideTile + c}`,
    // Of matrix r of a subgroup in the scores from column c, and in the weights at key k.
    score: (r: number, c: number) => `(ownRow + ${r * shape.rows}) * ${strideScores} + ${c}`,
    weight: (r: number, k: number) => `(ownRow + ${r * shape.rows}) * ${strideWeights} + ${k}`,
    // Of the rows whose weights an invocation computes: the first, the next, and its part of a row.
    firstRow: `index / ${subgroupSize} * ${ownRows} + index % ${subgroupSize} / ${parts}`,
    endRow: `index / ${subgroupSize} * ${ownRows} + ${ownRows}`,
    rowStep: Math.max(1, Math.floor(subgroupSize / parts)),
    part: `index % ${parts}`,
    atScores: `row * ${strideScores}`,
    atWeights: `row * ${strideWeights}`,
    atPart: `row * ${parts} + part`,
  };
}

/** Columns of the result that pass through the scores' memory at one time: a part of the dimensions each. */
export function resultChunks({ keys, dims }: AttentionTiling): { readonly first: number; readonly length: number }[] {
  return Array.from({ length: Math.ceil(dims / keys) }, (_, i) => ({
    first: i * keys,
    length: Math.min(keys, dims - i * keys),
  }));
}

function leastCommonMultiple(a: number, b: number): number {
  let multiple = a;
  while (multiple % b !== 0) multiple += a;
  return multiple;
}
