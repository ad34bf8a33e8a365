import { d, tgpu } from "typegpu";
import source from "../../shaders/strided_copy.wgsl" with { type: "text" };
import transposeSource from "../../shaders/strided_transpose.wgsl" with { type: "text" };
import { bytesPerElement } from "../core/dtype.ts";
import { DTypeError, RankError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import type { Tensor } from "../core/tensor.ts";
import { gridOf } from "./grid.ts";

/** One axis of a strided copy; strides count elements. */
export interface CopyAxis {
  readonly length: number;
  readonly xStride: number;
  readonly yStride: number;
}

const axisFields = { axis0: d.vec4u, axis1: d.vec4u, axis2: d.vec4u, axis3: d.vec4u, axis4: d.vec4u, axis5: d.vec4u };
const Params = d
  .struct({ count: d.u32, rank: d.u32, xOffset: d.u32, yOffset: d.u32, run: d.vec4u, ...axisFields })
  .$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  x: { storage: d.arrayOf(d.u32) },
  y: { storage: d.arrayOf(d.u32), access: "mutable" },
});
export const stridedCopyKernel = defineKernel({ name: "strided_copy", source, params: Params, layout });

const TransposeParams = d
  .struct({ count: d.u32, rank: d.u32, xOffset: d.u32, yOffset: d.u32, xStep: d.u32, yStep: d.u32, ...axisFields })
  .$name("Params");
const transposeLayout = tgpu.bindGroupLayout({
  params: { uniform: TransposeParams },
  x: { storage: d.arrayOf(d.vec4u) },
  y: { storage: d.arrayOf(d.vec4u), access: "mutable" },
});
export const stridedTransposeKernel = defineKernel({
  name: "strided_transpose",
  source: transposeSource,
  params: TransposeParams,
  layout: transposeLayout,
});

/** Axes that the kernels hold, the one of the run not counted. */
const maxAxes = 6;
/** Longest run per invocation. On a CPU index arithmetic shows up to there, on a GPU up to a quarter of it (bench/movement). */
const maxRun = { software: 64, hardware: 16 };
/** Runs are shortened until this many invocations are busy, about what a large GPU holds. */
const busyInvocations = 16384;

/**
 * Copies elements of `x` to `y`, each addressed by its own strides. Elements of `y` that no coordinate reaches keep their value.
 *
 * @param axes - the coordinates; a stride of 0 in `x` repeats elements
 * @param offsets - first element on each side
 * @throws RankError if more than six axes are left after merging neighbours
 * @throws DTypeError if bytes of a `u8` tensor would move by other than whole words
 */
export function stridedCopy(
  operation: string,
  program: Program,
  x: Tensor,
  y: Tensor,
  axes: readonly CopyAxis[],
  offsets: { readonly x: number; readonly y: number } = { x: 0, y: 0 },
): void {
  const merged = mergeAxes(axes);
  if (merged.length > maxAxes) {
    throw new RankError(
      `${operation}: ${merged.length} axes cannot be merged, expected at most ${maxAxes}; reshape first`,
    );
  }
  if (tiles(x, merged, offsets)) transposeTiles(program, x, y, merged, offsets);
  else copyRuns(operation, program, x, y, merged, offsets);
}

/** Without axes of length 1, slowest in `y` first, neighbours joined where both sides allow. */
export function mergeAxes(axes: readonly CopyAxis[]): CopyAxis[] {
  const sorted = axes.filter(({ length }) => length > 1).sort((a, b) => b.yStride - a.yStride);
  const merged: CopyAxis[] = [];
  for (const axis of sorted) {
    const outer = merged.at(-1);
    const span = axis.length;
    if (outer && outer.xStride === span * axis.xStride && outer.yStride === span * axis.yStride) {
      merged[merged.length - 1] = { length: outer.length * span, xStride: axis.xStride, yStride: axis.yStride };
    } else merged.push(axis);
  }
  return merged;
}

interface Offsets {
  readonly x: number;
  readonly y: number;
}

function copyRuns(operation: string, program: Program, x: Tensor, y: Tensor, axes: CopyAxis[], offsets: Offsets): void {
  const wide = widen(axes, offsets, bytesPerElement[x.dtype]);
  const bytes = wide.width * bytesPerElement[x.dtype];
  const element = { 16: "vec4u", 8: "vec2u", 4: "u32", 2: "f16" }[bytes];
  if (element === undefined) {
    throw new DTypeError(
      `${operation}: u8 data moves in groups of 4 elements, got groups of ${wide.width}; cast to u32 first`,
    );
  }
  const { run, rest } = takeRun(wide.axes, program.device.isSoftware);
  const count = rest.reduce((product, axis) => product * axis.length, 1);
  program.dispatch(
    stridedCopyKernel,
    {
      count,
      rank: rest.length,
      xOffset: offsets.x / wide.width,
      yOffset: offsets.y / wide.width,
      run: field(run),
      ...axisParams(rest),
    },
    { x, y },
    gridOf(program.device, count),
    { declarations: { Element: element } },
  );
}

/** The largest group of neighbouring elements, of 16, 8 or 4 bytes, that moves as one; `width` 1 if there is none. */
function widen(axes: readonly CopyAxis[], offsets: Offsets, elementBytes: number): { width: number; axes: CopyAxis[] } {
  const inner = axes.at(-1);
  if (inner?.xStride !== 1 || inner.yStride !== 1) return { width: 1, axes: [...axes] };
  const outer = axes.slice(0, -1);
  const distances = [
    inner.length,
    offsets.x,
    offsets.y,
    ...outer.flatMap(({ xStride, yStride }) => [xStride, yStride]),
  ];
  const widths = [16, 8, 4].map((bytes) => bytes / elementBytes);
  const width = widths.find((candidate) => distances.every((distance) => distance % candidate === 0)) ?? 1;
  return {
    width,
    axes: [
      ...outer.map(({ length, xStride, yStride }) => ({ length, xStride: xStride / width, yStride: yStride / width })),
      { length: inner.length / width, xStride: 1, yStride: 1 },
    ],
  };
}

/**
 * Splits the best run off one axis: the largest divisor of any length that leaves enough invocations. On a CPU a run holds
 * neighbours of the innermost such axis, which it reads like a stream; on a GPU neighbours belong to neighbouring invocations.
 */
function takeRun(axes: readonly CopyAxis[], isSoftware: boolean): { run: CopyAxis; rest: CopyAxis[] } {
  const count = axes.reduce((product, axis) => product * axis.length, 1);
  const longest = Math.max(
    1,
    Math.min(maxRun[isSoftware ? "software" : "hardware"], Math.floor(count / busyInvocations)),
  );
  let best = { length: 1, axis: -1 };
  axes.forEach(({ length }, axis) => {
    const divisor = largestDivisor(length, longest);
    if (divisor > best.length || (isSoftware && divisor === best.length)) best = { length: divisor, axis };
  });
  const split = axes[best.axis];
  if (!split || best.length === 1) return { run: { length: 1, xStride: 0, yStride: 0 }, rest: [...axes] };
  const length = split.length / best.length;
  const [inRun, between] = isSoftware ? [1, best.length] : [length, 1];
  const scaled = (axis: CopyAxis, by: number) => ({ xStride: axis.xStride * by, yStride: axis.yStride * by });
  const run = { length: best.length, ...scaled(split, inRun) };
  const rest = axes.map((axis) => (axis === split ? { length, ...scaled(axis, between) } : axis));
  return { run, rest: rest.filter((axis) => axis.length > 1) };
}

function largestDivisor(length: number, limit: number): number {
  for (let divisor = Math.min(limit, length); divisor > 1; divisor--) if (length % divisor === 0) return divisor;
  return 1;
}

/** Whether both sides move 16 bytes at once if 4 × 4 words are transposed in registers. */
function tiles(x: Tensor, axes: readonly CopyAxis[], offsets: Offsets): boolean {
  const from = axes.find(({ xStride }) => xStride === 1);
  const to = axes.find(({ yStride }) => yStride === 1);
  if (bytesPerElement[x.dtype] !== 4 || !from || !to || from === to) return false;
  const distances = [offsets.x, offsets.y, from.length, to.length];
  for (const axis of axes) {
    if (axis !== from) distances.push(axis.xStride);
    if (axis !== to) distances.push(axis.yStride);
  }
  return distances.every((distance) => distance % 4 === 0);
}

function transposeTiles(program: Program, x: Tensor, y: Tensor, axes: readonly CopyAxis[], offsets: Offsets): void {
  let [xStep, yStep] = [0, 0];
  const tiled = axes.map(({ length, xStride, yStride }) => {
    if (xStride === 1) {
      yStep = yStride / 4;
      return { length: length / 4, xStride: 1, yStride };
    }
    if (yStride === 1) {
      xStep = xStride / 4;
      return { length: length / 4, xStride, yStride: 1 };
    }
    return { length, xStride: xStride / 4, yStride: yStride / 4 };
  });
  const blocked = blockTiles(tiled);
  const count = tiled.reduce((product, axis) => product * axis.length, 1);
  program.dispatch(
    stridedTransposeKernel,
    {
      count,
      rank: blocked.length,
      xOffset: offsets.x / 4,
      yOffset: offsets.y / 4,
      xStep,
      yStep,
      ...axisParams(blocked),
    },
    { x, y },
    gridOf(program.device, count),
  );
}

/**
 * Lets 4 × 4 neighbouring tiles follow each other, so that whole cache lines of both sides are used while they are there;
 * as far as lengths divide and axes are left.
 */
function blockTiles(axes: readonly CopyAxis[]): CopyAxis[] {
  const inner: CopyAxis[] = [];
  const outer = axes.map((axis) => {
    const divisor = largestDivisor(axis.length, 4);
    const contiguous = axis.xStride === 1 || axis.yStride === 1;
    if (!contiguous || divisor === 1 || axes.length + inner.length >= maxAxes) return axis;
    inner.push({ ...axis, length: divisor });
    return { length: axis.length / divisor, xStride: axis.xStride * divisor, yStride: axis.yStride * divisor };
  });
  return [...outer.filter(({ length }) => length > 1), ...inner];
}

/** The fastest axis first, as the kernels peel them off. */
function axisParams(axes: readonly CopyAxis[]): Record<string, readonly number[]> {
  const reversed = [...axes].reverse();
  return Object.fromEntries(
    Object.keys(axisFields).map((name, i) => [name, field(reversed[i] ?? { length: 1, xStride: 0, yStride: 0 })]),
  );
}

function field({ length, xStride, yStride }: CopyAxis): readonly number[] {
  return [length, xStride, yStride, 0];
}
