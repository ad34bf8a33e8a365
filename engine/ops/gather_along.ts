import { d, tgpu } from "typegpu";
import source from "../../shaders/gather_along.wgsl" with { type: "text" };
import scatterSource from "../../shaders/scatter_along.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType, checkSameShape, resolveAxis, sizeOf } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { manyStridingGroups } from "./elementwise.ts";
import { full } from "./fill.ts";

const numbers = d.arrayOf(d.f32);
const words = d.arrayOf(d.u32);
const flags = { storage: d.arrayOf(d.atomic(d.u32)), access: "mutable" } as const;
const Params = d
  .struct({ count: d.u32, length: d.u32, inner: d.u32, sourceLength: d.u32, slot: d.u32 })
  .$name("Params");
export const gatherAlongKernel = defineKernel({
  name: "gather_along",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: numbers },
    indices: { storage: words },
    y: { storage: numbers, access: "mutable" },
    flags,
  }),
});
const ScatterParams = d
  .struct({ count: d.u32, length: d.u32, inner: d.u32, resultLength: d.u32, slot: d.u32 })
  .$name("Params");
export const scatterAlongKernel = defineKernel({
  name: "scatter_along",
  source: scatterSource,
  params: ScatterParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: ScatterParams },
    x: { storage: numbers },
    indices: { storage: words },
    values: { storage: numbers },
    y: { storage: numbers, access: "mutable" },
    flags,
  }),
});

/**
 * Elements along an axis, an index for each: `y[…, n, …] = x[…, indices[…, n, …], …]`; `torch.gather`, numpy's `take_along_axis`. An
 * index outside becomes an `IndexError` at the next read.
 *
 * @param x - f32, f16, u32 or i32
 * @param indices - u32 or i32, of the shape of `x` but for the length of the axis
 * @returns the shape of `indices`
 * @throws ShapeError, DTypeError, AxisError
 */
export function gatherAlong(x: Tensor, indices: Tensor, axis = -1): Tensor {
  checkDType("gatherAlong", "x", x, ["f32", "f16", "u32", "i32"]);
  const { at, length, inner } = line("gatherAlong", x, indices, axis);
  const sourceLength = x.shape[at] ?? 1;
  const program = programOf("gatherAlong", x, indices);
  const y = program.empty(indices.shape, x.dtype);
  const { tensor, slot } = program.flag("gatherAlong");
  program.dispatch(
    gatherAlongKernel,
    { count: y.size, length, inner, sourceLength, slot },
    { x, indices, y, flags: tensor },
    manyStridingGroups(y.size, program.device),
    { declarations: { Stored: x.dtype } },
  );
  return program.record(y, [x], (dy) => [scatterAddAlong(indices, dy, sourceLength, at)]);
}

/**
 * Adds elements into zeros along an axis: `y[…, indices[…, n, …], …] += values[…, n, …]`, in the order of n, so that two runs give the
 * same bits. Lines are worked on side by side, each by one invocation: for one long line take `scatterAdd`.
 *
 * @param indices - u32 or i32, of the shape of `values`; one outside becomes an `IndexError` at the next read
 * @param values - f32 or f16
 * @param length - of the axis in the result
 * @throws ShapeError, DTypeError, AxisError, OptionError
 */
export function scatterAddAlong(indices: Tensor, values: Tensor, length: number, axis = -1): Tensor {
  checkDType("scatterAddAlong", "values", values, ["f32", "f16"]);
  checkSameShape("scatterAddAlong", "indices", indices.shape, values.shape);
  if (!Number.isInteger(length) || length < 1)
    throw new OptionError(`scatterAddAlong: length ${length}, expected a positive integer`);
  const { at } = line("scatterAddAlong", values, indices, axis);
  const y = scatter("scatterAddAlong", undefined, indices, values, at, length);
  return y.program.record(y, [values], (dy) => [gatherAlong(dy, indices, at)]);
}

/**
 * Replaces elements along an axis: `y[…, indices[…, n, …], …] = values[…, n, …]`, of several for one place the last; elsewhere y is x;
 * `torch.scatter`. As there, each of several for one place receives the gradient of the place.
 *
 * @param x - f32 or f16
 * @param indices - u32 or i32, of the shape of `x` but for the length of the axis; one outside becomes an `IndexError` at the next read
 * @param values - of the shape of `indices` and the type of `x`
 * @returns the shape of `x`
 * @throws ShapeError, DTypeError, AxisError
 */
export function scatterAlong(x: Tensor, indices: Tensor, values: Tensor, axis = -1): Tensor {
  checkDType("scatterAlong", "x", x, ["f32", "f16"]);
  checkDType("scatterAlong", "values", values, [x.dtype]);
  checkSameShape("scatterAlong", "values", values.shape, indices.shape);
  const { at } = line("scatterAlong", x, indices, axis);
  const y = scatter("scatterAlong", x, indices, values, at, x.shape[at] ?? 1);
  return y.program.record(y, [x, values], (dy, [needsX, needsValues]) => [
    needsX ? scatterAlong(dy, indices, full(dy.program, values.shape, 0, dy.dtype), at) : undefined,
    needsValues ? gatherAlong(dy, indices, at) : undefined,
  ]);
}

function scatter(
  operation: string,
  x: Tensor | undefined,
  indices: Tensor,
  values: Tensor,
  axis: number,
  resultLength: number,
): Tensor {
  const program = programOf(operation, x, indices, values);
  const length = indices.shape[axis] ?? 1;
  const y = program.empty(values.shape.toSpliced(axis, 1, resultLength), values.dtype);
  const { tensor, slot } = program.flag(operation);
  const count = values.size / length;
  program.dispatch(
    scatterAlongKernel,
    { count, length, inner: sizeOf(values.shape.slice(axis + 1)), resultLength, slot },
    { x: x ?? values, indices, values, y, flags: tensor },
    manyStridingGroups(count, program.device),
    { operation, constants: { adds: x ? 0 : 1 }, declarations: { Stored: values.dtype }, flops: x ? 0 : values.size },
  );
  return y;
}

/** The axis, and what lies along and behind it in the indices. */
function line(operation: string, x: Tensor, indices: Tensor, axis: number) {
  checkDType(operation, "indices", indices, ["u32", "i32"]);
  const at = resolveAxis(operation, axis, x.shape.length);
  const length = indices.shape[at] ?? 1;
  checkSameShape(operation, "indices", indices.shape, x.shape.toSpliced(at, 1, length));
  return { at, length, inner: sizeOf(indices.shape.slice(at + 1)) };
}
