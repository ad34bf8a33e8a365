import { OptionError, ShapeError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../core/recording.ts";
import { checkDType, checkRank, matrixShape } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { bucket, defineVariants } from "./choose_variant.ts";
import { manyStridingGroups } from "./elementwise.ts";
import { foldGrid, stridingGrid } from "./grid.ts";
import {
  type NearestProblem,
  type NearestVariant,
  nearestMergeKernel,
  nearestOrder,
  nearestTraitsKernel,
  nearestVariants,
} from "./nearest_kernels.ts";
import { rows } from "./rows.ts";

export interface NearestOptions {
  /** Neighbours per query, 1 … 256, at most the rows of the bank. */
  readonly k: number;
  /** Default cosine: rows are divided by max(length, 1e-12). */
  readonly metric?: "cosine" | "dot";
  /** Bank rows with the query's own id are excluded. `[R]` and `[N]`, u32 or i32. */
  readonly exclude?: { readonly queryIds: Tensor; readonly bankIds: Tensor };
  /** Bank rows of another class are excluded (oracle guidance). `[R]` and `[N]`, u32 or i32. */
  readonly sameClass?: { readonly queryClasses: Tensor; readonly bankClasses: Tensor };
  /**
   * Similarity that excluded rows get; they are found only where too few others are better. The default, -3.4e38, is below that
   * of any other row, and marks them in the result.
   */
  readonly excludedSimilarity?: number;
}

export interface Nearest {
  /** `[R, k]` f32, best first. */
  readonly similarities: Tensor;
  /** Rows of the bank, `[R, k]` u32; of equal similarities the lower index first. */
  readonly indices: Tensor;
}

const largestK = 256;
const removed = -3.4e38;
/** Rows of a part of the bank start at multiples of 256 bytes for any width of four-byte numbers. */
const rowAlignment = 64;
/** Work of one dispatch: 100 ms on a GPU that sustains 1 TFLOP/s, so that a search never trips a watchdog. */
const flopsPerDispatch = 1e11;
/** Segments of the bank per query; each costs a list of k entries to write and to merge. */
const mostSegments = 128;

/**
 * The k most similar rows of a bank for each query, exactly. Similarities stay in registers: memory beside the result is
 * `16 (R + N)` bytes and `8 k` per query and segment. A bank larger than one binding is searched part by part. A
 * similarity of NaN is -3.39e38, so that such rows come last, before excluded ones only; infinite ones are ±3.39e38. No gradient:
 * differentiating similarities or indices throws a NoGradientError; `detach` them.
 *
 * @param queries - `[R, D]` f32
 * @param bank - `[N, D]` f32
 * @throws OptionError, RankError, ShapeError, DTypeError
 */
export function nearest(queries: Tensor, bank: Tensor, options: NearestOptions): Nearest {
  checkOperands(queries, bank, options);
  const { device } = queries;
  const [queryCount, columns] = matrixShape("nearest", "queries", queries);
  const [bankRows] = matrixShape("nearest", "bank", bank);
  const variant = chooseNearest(device, { queries: queryCount, columns, bankRows, k: options.k });
  const partRows = Math.min(bankRows, rowsPerPart(device, queryCount, columns));
  return nearestInParts(queries, bank, options, variant, partRows);
}

const chooseNearest = defineVariants<NearestProblem, NearestVariant>({
  operation: "nearest",
  variants: nearestVariants,
  order: nearestOrder,
  deviates: () => undefined, // each product is one sum over the columns from the first on; lists do not depend on their parts
  shapeClass: ({ queries, columns, k }) => `${bucket(queries)}x${bucket(columns)} k ${bucket(k)}`,
  example: (program, variant, { queries, columns, bankRows, k }) => {
    const rowCount = Math.min(bucket(bankRows), 16384); // enough to compare variants, whose time grows with the rows alike
    const x = program.input("queries", [Math.min(bucket(queries), 1024), columns]);
    const bank = program.input("bank", [rowCount, columns]);
    const { similarities, indices } = nearestInParts(x, bank, { k: Math.min(k, rowCount) }, variant, rowCount);
    return [similarities, indices];
  },
});

/**
 * The search with its variant and the division of the bank given.
 *
 * @param partRows - rows of the bank per dispatch; a multiple of 64 if there is more than one part
 */
export function nearestInParts(
  queries: Tensor,
  bank: Tensor,
  options: NearestOptions,
  variant: NearestVariant,
  partRows: number,
): Nearest {
  const { k, exclude, sameClass, excludedSimilarity = removed } = options;
  const { device } = queries;
  const [queryCount, columns] = matrixShape("nearest", "queries", queries);
  const [bankRows] = matrixShape("nearest", "bank", bank);
  const program = programOf(
    "nearest",
    queries,
    bank,
    exclude?.queryIds,
    exclude?.bankIds,
    sameClass?.queryClasses,
    sameClass?.bankClasses,
  );
  const normalises = options.metric !== "dot";
  const queryTraits = traits(program, queries, 0, normalises, exclude?.queryIds, sameClass?.queryClasses);
  const { tile, declarations } = variant.launch(device, queryCount);
  const tiles = Math.ceil(queryCount / tile);
  const segments = segmentsFor(device, tiles, partRows, k);
  const rowsPerSegment = Math.ceil(partRows / segments / rowAlignment) * rowAlignment;
  let previous = program.empty([2], "u32");
  for (let from = 0; from < bankRows; from += partRows) {
    const part = rows(bank, from, Math.min(bankRows, from + partRows));
    const [partLength] = matrixShape("nearest", "bank", part);
    const lists = program.empty([queryCount, segments, k, 2], "u32");
    program.dispatch(
      variant.kernel,
      {
        queries: queryCount,
        rows: partLength,
        columns,
        firstRow: from,
        k,
        segments,
        rowsPerSegment,
        excludesIds: exclude ? 1 : 0,
        keepsClass: sameClass ? 1 : 0,
        excludedSimilarity,
        continues: from > 0 ? 1 : 0,
      },
      {
        queries,
        queryTraits,
        bank: part,
        bankTraits: traits(program, part, from, normalises, exclude?.bankIds, sameClass?.bankClasses),
        previous,
        lists,
      },
      foldGrid(device, tiles, segments),
      { declarations, flops: 2 * queryCount * partLength * columns },
    );
    previous = lists;
  }
  const { mergeKernel } = variant;
  const similarities = program.empty([queryCount, k]);
  const indices = program.empty([queryCount, k], "u32");
  program.dispatch(
    mergeKernel,
    { queries: queryCount, rows: bankRows, k, segments },
    { lists: previous, similarities, indices },
    mergeKernel === nearestMergeKernel ? manyStridingGroups(queryCount, device) : stridingGrid(device, queryCount),
  );
  return { similarities, indices };
}

function traits(
  program: Program,
  x: Tensor,
  firstRow: number,
  normalises: boolean,
  ids: Tensor | undefined,
  labels: Tensor | undefined,
): Tensor {
  const [rowCount, columns] = matrixShape("nearest", "rows", x);
  const y = program.empty([rowCount, 4], "u32");
  const none = program.empty([1], "u32");
  program.dispatch(
    nearestTraitsKernel,
    {
      rows: rowCount,
      columns,
      firstRow,
      normalises: normalises ? 1 : 0,
      idCount: ids?.size ?? 0,
      labelCount: labels?.size ?? 0,
    },
    { x, ids: ids ?? none, labels: labels ?? none, y },
    manyStridingGroups(rowCount, program.device),
    { flops: normalises ? 2 * x.size : 0 },
  );
  return y;
}

/** Rows of the bank that one dispatch searches: what a binding holds, and no more than a watchdog lets pass. */
function rowsPerPart(device: Device, queries: number, columns: number): number {
  const held = device.limits.maxStorageBufferBindingSize / (4 * columns);
  const timely = flopsPerDispatch / (2 * queries * columns);
  return Math.max(1, Math.floor(Math.min(held, timely) / rowAlignment)) * rowAlignment;
}

/** Segments that keep all cores busy, each long enough that filling its list does not dominate. */
function segmentsFor(device: Device, tiles: number, partRows: number, k: number): number {
  const busyGroups = device.isSoftware ? 16 : 1024; // a few per core; a few per unit of a large GPU
  const longEnough = Math.ceil(partRows / Math.max(512, 16 * k));
  return Math.min(mostSegments, longEnough, Math.ceil(busyGroups / tiles));
}

function checkOperands(queries: Tensor, bank: Tensor, options: NearestOptions): void {
  const [queryCount, width] = matrixShape("nearest", "queries", queries);
  const [bankRows, bankWidth] = matrixShape("nearest", "bank", bank);
  checkDType("nearest", "queries", queries, ["f32"]);
  checkDType("nearest", "bank", bank, ["f32"]);
  if (width !== bankWidth) {
    throw new ShapeError(`nearest: queries have width ${width}, the bank ${bankWidth}; embed both with one model`);
  }
  const { k, exclude, sameClass, excludedSimilarity = removed } = options;
  if (!Number.isInteger(k) || k < 1 || k > Math.min(largestK, bankRows)) {
    throw new OptionError(
      `nearest: k is ${k}, expected an integer in 1 … ${Math.min(largestK, bankRows)} for a bank of ${bankRows} rows; choose a smaller k`,
    );
  }
  if (!(Math.abs(excludedSimilarity) <= -removed)) {
    throw new OptionError(
      `nearest: excludedSimilarity is ${excludedSimilarity}, expected a number within ±3.4e38; leave it out to put excluded rows last`,
    );
  }
  if (exclude) {
    checkIds("exclude.queryIds", exclude.queryIds, queryCount, true);
    checkIds("exclude.bankIds", exclude.bankIds, bankRows, false);
  }
  if (sameClass) {
    checkIds("sameClass.queryClasses", sameClass.queryClasses, queryCount, true);
    checkIds("sameClass.bankClasses", sameClass.bankClasses, bankRows, false);
  }
}

function checkIds(name: string, ids: Tensor, count: number, repeats: boolean): void {
  checkRank("nearest", name, ids, 1);
  checkDType("nearest", name, ids, ["u32", "i32"]);
  if (repeats ? count % ids.size !== 0 : ids.size !== count) {
    const expected = repeats ? `${count}, or a divisor of it to repeat them per view` : `${count}`;
    throw new ShapeError(`nearest: ${name} has ${ids.size} elements, expected ${expected}; give one per row`);
  }
}
