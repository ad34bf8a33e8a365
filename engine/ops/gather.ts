import { d, tgpu } from "typegpu";
import source from "../../shaders/gather.wgsl" with { type: "text" };
import scatterSource from "../../shaders/scatter_add.wgsl" with { type: "text" };
import { RankError, ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import { checkDType, checkRank, showShape } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { manyStridingGroups } from "./elementwise.ts";
import { foldGrid } from "./grid.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, tableRows: d.u32, slot: d.u32 }).$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  table: { storage: d.arrayOf(d.f32) },
  indices: { storage: d.arrayOf(d.u32) },
  y: { storage: d.arrayOf(d.f32), access: "mutable" },
  flags: { storage: d.arrayOf(d.atomic(d.u32)), access: "mutable" },
});
export const gatherKernel = defineKernel({ name: "gather", source, params: Params, layout });

const ScatterParams = d
  .struct({ sources: d.u32, columns: d.u32, rows: d.u32, rowsPerRange: d.u32, slot: d.u32 })
  .$name("Params");
const scatterLayout = tgpu.bindGroupLayout({
  params: { uniform: ScatterParams },
  indices: { storage: d.arrayOf(d.u32) },
  values: { storage: d.arrayOf(d.f32) },
  y: { storage: d.arrayOf(d.f32), access: "mutable" },
  flags: { storage: d.arrayOf(d.atomic(d.u32)), access: "mutable" },
});
export const scatterAddKernel = defineKernel({
  name: "scatter_add",
  source: scatterSource,
  params: ScatterParams,
  layout: scatterLayout,
});

/**
 * Rows of a table: `y[i, …] = table[indices[i], …]`. An index outside the table becomes an `IndexError` at the next read.
 *
 * @param table - `[N, …]` f32
 * @param indices - any shape, u32 or i32
 * @returns `[…indices.shape, …]`
 * @throws RankError, DTypeError
 */
export function gather(table: Tensor, indices: Tensor): Tensor {
  checkDType("gather", "table", table, ["f32"]);
  checkDType("gather", "indices", indices, ["u32", "i32"]);
  const [tableRows, ...rest] = table.shape;
  if (tableRows === undefined) throw new RankError("gather: the table is a scalar; give at least one axis of rows");
  const program = programOf("gather", table, indices);
  const y = program.empty([...indices.shape, ...rest]);
  const flag = program.flag("gather");
  const params = { rows: indices.size, columns: table.size / tableRows, tableRows, slot: flag.slot };
  program.dispatch(
    gatherKernel,
    params,
    { table, indices, y, flags: flag.tensor },
    manyStridingGroups(y.size, program.device),
  );
  // dTable[n] = Σ dy[i] over the i that read row n.
  return program.record(y, [table], (dy) => [
    scatterAdd(reshape(indices, [indices.size]), reshape(dy, [indices.size, ...rest]), tableRows),
  ]);
}

/** Columns of a workgroup, as in the shader. */
const lanes = 32;

/**
 * Adds rows into a table of zeros: `y[n, …] = Σ values[i, …]` over the i with `indices[i] = n`, in the order of i, so that two runs
 * give the same bits. An index outside the table becomes an `IndexError` at the next read.
 *
 * @param indices - `[R]` u32 or i32
 * @param values - `[R, …]` f32
 * @param rows - rows of the table
 * @returns `[rows, …]`
 * @throws RankError, ShapeError, DTypeError
 */
export function scatterAdd(indices: Tensor, values: Tensor, rows: number): Tensor {
  checkRank("scatterAdd", "indices", indices, 1);
  checkDType("scatterAdd", "indices", indices, ["u32", "i32"]);
  checkDType("scatterAdd", "values", values, ["f32"]);
  const [sources, ...rest] = values.shape;
  if (sources !== indices.size) {
    throw new ShapeError(
      `scatterAdd: ${indices.size} indices for values of shape ${showShape(values.shape)}; give one index per row`,
    );
  }
  const program = programOf("scatterAdd", indices, values);
  const y = program.empty([rows, ...rest]);
  const columns = values.size / sources;
  const flag = program.flag("scatterAdd");
  const columnGroups = Math.ceil(columns / lanes);
  const ranges = rangesFor(values.device, rows, columnGroups);
  program.dispatch(
    scatterAddKernel,
    { sources, columns, rows, rowsPerRange: Math.ceil(rows / ranges), slot: flag.slot },
    { indices, values, y, flags: flag.tensor },
    foldGrid(program.device, columnGroups, ranges),
    { flops: values.size },
  );
  // dValues[i] = dy[indices[i]].
  return program.record(y, [values], (dy) => [gather(dy, indices)]);
}

/** Each range of rows costs one more walk over the indices, and one more workgroup that can run beside the others. */
function rangesFor(device: Device, rows: number, columnGroups: number): number {
  const busyGroups = device.isSoftware ? 8 : 1024; // a few per core; a few per unit of a large GPU
  return Math.min(rows, Math.ceil(busyGroups / columnGroups));
}
