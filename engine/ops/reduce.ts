import { d, tgpu } from "typegpu";
import columnsSource from "../../shaders/reduce_columns.wgsl" with { type: "text" };
import rowsSource from "../../shaders/reduce_rows.wgsl" with { type: "text" };
import type { DType } from "../core/dtype.ts";
import { AxisError, ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType, resolveAxis, type Shape, showShape } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { broadcastShape } from "./broadcast.ts";
import { stridingGroups } from "./elementwise.ts";
import { contiguousStrides } from "./permute.ts";
import { stridedCopy } from "./strided_copy.ts";

const RowParams = d
  .struct({ rows: d.u32, columns: d.u32, chunks: d.u32, chunkLength: d.u32, scale: d.f32 })
  .$name("Params");
export const reduceRowsKernel = defineKernel({
  name: "reduce_rows",
  source: rowsSource,
  params: RowParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: RowParams },
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});
const ColumnParams = d
  .struct({ count: d.u32, length: d.u32, inner: d.u32, chunks: d.u32, chunkLength: d.u32, scale: d.f32 })
  .$name("Params");
export const reduceColumnsKernel = defineKernel({
  name: "reduce_columns",
  source: columnsSource,
  params: ColumnParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: ColumnParams },
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/** Longest run that one thread adds up: 64 blocks of 64, so at most 128 roundings each. */
const longestChunk = 4096;
/** Shortest run worth a thread and a second pass. */
const shortestChunk = 64;
/** Threads that keep a large GPU busy. Fixed, so that sums have the same bits on every adapter. */
const busyThreads = 4096;

export interface ReduceOptions {
  /** Axes to reduce, negative ones from the end; all of them if left out. */
  readonly axes?: readonly number[];
  /** Keep reduced axes with length 1. Default false. */
  readonly keepDims?: boolean;
}

/**
 * Sum over axes, in a fixed order, of the type of `x`; NaN passes, ∞ − ∞ is NaN. Sums of f16 are f32 until the last rounding; those of
 * integers are exact modulo 2³², and constants to differentiation.
 *
 * @throws AxisError, DTypeError for u8
 */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = reducedAxes("sum", x, options.axes);
  const kept = keptShape(x.shape, axes);
  const y = reduceAxes("sum", x, axes, { kind: "sum" });
  if (y.base !== x.base && isFloat(x.dtype)) y.program.record(y, [x], (dy) => [expand(reshape(dy, kept), x.shape)]);
  return reshape(y, options.keepDims ? kept : withoutAxes(x.shape, axes));
}

/** Whether a reduction of the type has a gradient. */
export function isFloat(dtype: DType): boolean {
  return dtype === "f32" || dtype === "f16";
}

/**
 * Repeats `x` along the axes where it has length 1 (or none) until it has the given shape.
 *
 * @throws ShapeError if `x` does not broadcast to `shape`
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (broadcastShape("expand", x.shape, shape).join() !== shape.join()) {
    throw new ShapeError(
      `expand: ${showShape(x.shape)} does not repeat to ${showShape(shape)}; lengths must be equal or 1`,
    );
  }
  const program = programOf("expand", x);
  const y = program.empty(shape, x.dtype);
  const lead = shape.length - x.shape.length;
  const xStrides = contiguousStrides(x.shape);
  const yStrides = contiguousStrides(shape);
  const axes = shape.map((length, axis) => ({
    length,
    xStride: x.shape[axis - lead] === length ? (xStrides[axis - lead] ?? 0) : 0,
    yStride: yStrides[axis] ?? 0,
  }));
  stridedCopy("expand", program, x, y, axes);
  return program.record(y, [x], (dy) => [sumTo(dy, x.shape)]);
}

/** Sums `x` over the axes along which `shape` repeats: the gradient of broadcasting. Gives `x` itself if nothing repeats. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((length, axis) =>
    axis < lead || (shape[axis - lead] === 1 && length !== 1) ? [axis] : [],
  );
  return reshape(axes.length === 0 ? x : sum(x, { axes, keepDims: true }), shape);
}

/** Axes from the front, sorted. @throws AxisError for one outside the shape or named twice */
export function reducedAxes(operation: string, x: Tensor, axes: readonly number[] | undefined): number[] {
  const rank = x.shape.length;
  const resolved = (axes ?? x.shape.map((_, axis) => axis)).map((axis) => resolveAxis(operation, axis, rank));
  if (new Set(resolved).size !== resolved.length) {
    throw new AxisError(`${operation}: axes ${showShape(axes ?? [])} name an axis of ${showShape(x.shape)} twice`);
  }
  return resolved.sort((a, b) => a - b);
}

export function keptShape(shape: Shape, axes: readonly number[]): number[] {
  return shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
}

export function withoutAxes(shape: Shape, axes: readonly number[]): number[] {
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** In the order of the kernels' `operation` constant. */
const reductions = ["sum", "max", "min", "prod"] as const;

interface Reduction {
  readonly kind: (typeof reductions)[number];
  /** Factor of the result. Default 1. */
  readonly scale?: number;
}

/**
 * Reduces one run of neighbouring axes after the other, the last run first. Not on the tape.
 *
 * @returns the kept shape; a view of `x` if all reduced axes have length 1
 */
export function reduceAxes(operation: string, x: Tensor, axes: readonly number[], reduction: Reduction): Tensor {
  checkDType(operation, "x", x, ["f32", "f16", "u32", "i32"]);
  const runs = axisRuns(x.shape, axes);
  const reducedRuns = runs.flatMap(({ reduced }, index) => (reduced ? [index] : []));
  let y = x;
  if (reducedRuns.length === 0) return reshape(x, keptShape(x.shape, axes));
  for (const index of reducedRuns.reverse()) {
    const outer = product(runs.slice(0, index));
    const inner = product(runs.slice(index + 1).filter(({ reduced }) => !reduced));
    const isLast = index === reducedRuns.at(-1);
    const own = { ...reduction, scale: isLast ? (reduction.scale ?? 1) : 1 };
    const result = isLast ? x.dtype : between(x.dtype);
    y = reduceRun(y, { outer, length: runs[index]?.length ?? 1, inner }, own, result);
  }
  return reshape(y, keptShape(x.shape, axes));
}

interface AxisRun {
  readonly length: number;
  readonly reduced: boolean;
}

function axisRuns(shape: Shape, axes: readonly number[]): AxisRun[] {
  const runs: AxisRun[] = [];
  for (const [axis, length] of shape.entries()) {
    if (length === 1) continue;
    const reduced = axes.includes(axis);
    const last = runs.at(-1);
    if (last?.reduced === reduced) runs[runs.length - 1] = { length: last.length * length, reduced };
    else runs.push({ length, reduced });
  }
  return runs;
}

function product(runs: readonly AxisRun[]): number {
  return runs.reduce((size, { length }) => size * length, 1);
}

/** The type of partial results. */
function between(dtype: DType): DType {
  return dtype === "f16" ? "f32" : dtype;
}

/** [outer, length, inner] → [outer, inner]; again over the chunks while there are several. */
function reduceRun(
  x: Tensor,
  size: { outer: number; length: number; inner: number },
  reduction: Reduction,
  result: DType,
): Tensor {
  const { outer, length, inner } = size;
  const results = outer * inner;
  const wanted = Math.max(Math.ceil(busyThreads / results), Math.ceil(length / longestChunk));
  const chunkLength = Math.ceil(length / Math.min(wanted, Math.ceil(length / shortestChunk)));
  const chunks = Math.ceil(length / chunkLength);
  const program = programOf("reduce", x);
  const y = program.empty([outer, chunks, inner], chunks === 1 ? result : between(x.dtype));
  const constants = { operation: reductions.indexOf(reduction.kind) };
  const scale = chunks === 1 ? (reduction.scale ?? 1) : 1;
  const declarations = { Number: between(x.dtype), Stored: x.dtype, Result: y.dtype };
  const options = { constants, declarations, flops: x.size };
  if (inner === 1) {
    const params = { rows: outer, columns: length, chunks, chunkLength, scale };
    program.dispatch(reduceRowsKernel, params, { x, y }, stridingGroups(y.size, program.device), options);
  } else {
    const params = { count: y.size, length, inner, chunks, chunkLength, scale };
    program.dispatch(reduceColumnsKernel, params, { x, y }, stridingGroups(y.size, program.device), options);
  }
  return chunks === 1 ? y : reduceRun(y, { outer, length: chunks, inner }, reduction, result);
}
