import { d, tgpu } from "typegpu";
import blockSource from "../../shaders/sort_block.wgsl" with { type: "text" };
import mergeSource from "../../shaders/sort_merge.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, resolveAxis } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { cast } from "./cast.ts";
import { stridingGroups } from "./elementwise.ts";
import { gatherAlong } from "./gather_along.ts";
import { foldGrid } from "./grid.ts";
import { transpose } from "./permute.ts";
import { slice } from "./slice.ts";

const words = d.arrayOf(d.u32);
const BlockParams = d
  .struct({ rows: d.u32, length: d.u32, blocks: d.u32, kept: d.u32, keptLength: d.u32 })
  .$name("Params");
export const sortBlockKernel = defineKernel({
  name: "sort_block",
  source: blockSource,
  params: BlockParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: BlockParams },
    keys: { storage: words },
    places: { storage: words },
    sortedKeys: { storage: words, access: "mutable" },
    sortedPlaces: { storage: words, access: "mutable" },
  }),
});
const MergeParams = d.struct({ count: d.u32, length: d.u32, run: d.u32 }).$name("Params");
export const sortMergeKernel = defineKernel({
  name: "sort_merge",
  source: mergeSource,
  params: MergeParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: MergeParams },
    keys: { storage: words },
    places: { storage: words },
    mergedKeys: { storage: words, access: "mutable" },
    mergedPlaces: { storage: words, access: "mutable" },
  }),
});

/** Items of a block, as in the shader. */
const block = 1024;

export interface SortOptions {
  /** Default the last one. */
  readonly axis?: number;
  /** Largest first. Default false. */
  readonly descending?: boolean;
}

/** Values in their order, and where along the axis of `x` each stood, u32. */
export interface Sorted {
  readonly values: Tensor;
  readonly indices: Tensor;
}

/**
 * Sorts along an axis; equal elements keep their order. As in PyTorch NaN is larger than all numbers, ∞ too; -0 equals 0. The values have a
 * gradient, the indices have none.
 *
 * @param x - f32, f16, u32 or i32
 * @throws AxisError, DTypeError
 */
export function sort(x: Tensor, options: SortOptions = {}): Sorted {
  const axis = resolveAxis("sort", options.axis ?? -1, x.shape.length);
  return ordered("sort", x, axis, options.descending ?? false, x.shape[axis] ?? 1);
}

export interface TopKOptions {
  /** Default the last one. */
  readonly axis?: number;
  /** The k smallest, smallest first. Default false. */
  readonly smallest?: boolean;
}

/**
 * The k largest elements along an axis, largest first, of equal ones the first; as {@link sort} otherwise. `nearest` finds the largest
 * products of rows without storing them.
 *
 * @throws OptionError unless 1 ≤ k ≤ length of the axis; AxisError, DTypeError
 */
export function topK(x: Tensor, k: number, options: TopKOptions = {}): Sorted {
  const axis = resolveAxis("topK", options.axis ?? -1, x.shape.length);
  const length = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 1 || k > length)
    throw new OptionError(`topK: k is ${k}, expected 1 … ${length}, the length of the axis`);
  return ordered("topK", x, axis, !options.smallest, k);
}

function ordered(operation: string, x: Tensor, axis: number, descending: boolean, k: number): Sorted {
  checkDType(operation, "x", x, ["f32", "f16", "u32", "i32"]);
  const isLast = axis === x.shape.length - 1;
  const lines = isLast ? x : transpose(x, axis, -1);
  const length = lines.shape.at(-1) ?? 1;
  const rows = x.size / length;
  const keys = lines.dtype === "f16" ? cast(lines, "f32") : lines;
  const program = programOf(operation, keys);
  const sorted =
    2 * k <= block
      ? topBlocks(program, keys, rows, length, descending, k)
      : whole(program, keys, rows, length, descending, k);
  const inLines = reshape(sorted, [...lines.shape.slice(0, -1), k]);
  const indices = isLast ? inLines : transpose(inLines, axis, -1);
  return { values: gatherAlong(x, indices, axis), indices };
}

interface Items {
  readonly keys: Tensor;
  readonly places: Tensor | undefined;
}

/** The first k of each block, and of those again, until one block is left: each pass halves them at least. */
function topBlocks(program: Program, x: Tensor, rows: number, length: number, descending: boolean, k: number): Tensor {
  let items: Items = { keys: x, places: undefined };
  let left = length;
  for (;;) {
    const blocks = Math.ceil(left / block);
    const kept = blocks === 1 ? k : (blocks - 1) * k + Math.min(k, left - (blocks - 1) * block);
    const next = sortBlocks(program, items, { rows, length: left, blocks, kept: k, keptLength: kept }, descending);
    if (blocks === 1) return next.places;
    items = next;
    left = kept;
  }
}

/** Blocks, then runs twice as long, until a run is a row. */
function whole(program: Program, x: Tensor, rows: number, length: number, descending: boolean, k: number): Tensor {
  const blocks = Math.ceil(length / block);
  const sizes = { rows, length, blocks, kept: block, keptLength: length };
  let items = sortBlocks(program, { keys: x, places: undefined }, sizes, descending);
  const count = rows * length;
  for (let run = block; run < length; run *= 2) {
    const [mergedKeys, mergedPlaces] = [program.empty([count], "u32"), program.empty([count], "u32")];
    program.dispatch(
      sortMergeKernel,
      { count, length, run },
      { ...items, mergedKeys, mergedPlaces },
      stridingGroups(count, program.device),
    );
    items = { keys: mergedKeys, places: mergedPlaces };
  }
  return slice(reshape(items.places, [rows, length]), [undefined, [0, k]]);
}

function sortBlocks(
  program: Program,
  { keys, places }: Items,
  sizes: Readonly<Record<"rows" | "length" | "blocks" | "kept" | "keptLength", number>>,
  descending: boolean,
): { readonly keys: Tensor; readonly places: Tensor } {
  const count = sizes.rows * sizes.keptLength;
  const [sortedKeys, sortedPlaces] = [program.empty([count], "u32"), program.empty([count], "u32")];
  const kind = Math.max(0, ["f32", "u32", "i32"].indexOf(keys.dtype));
  program.dispatch(
    sortBlockKernel,
    sizes,
    { keys, places: places ?? keys, sortedKeys, sortedPlaces },
    foldGrid(program.device, sizes.blocks, sizes.rows),
    { constants: { first: places ? 0 : 1, kind, descending: Number(descending) } },
  );
  return { keys: sortedKeys, places: sortedPlaces };
}
