import { d, tgpu } from "typegpu";
import source from "../../shaders/gather.wgsl" with { type: "text" };
import { RankError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { stridingGroups } from "./elementwise.ts";
import { scatterAdd } from "./scatter_add.ts";

const Params = d.struct({ rows: d.u32, columns: d.u32, tableRows: d.u32, slot: d.u32 }).$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  table: { storage: d.arrayOf(d.f32) },
  indices: { storage: d.arrayOf(d.u32) },
  y: { storage: d.arrayOf(d.f32), access: "mutable" },
  flags: { storage: d.arrayOf(d.atomic(d.u32)), access: "mutable" },
});
export const gatherKernel = defineKernel({ name: "gather", source, params: Params, layout });

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
  program.dispatch(gatherKernel, params, { table, indices, y, flags: flag.tensor }, stridingGroups(y.size));
  // dTable[n] = Σ dy[i] over the i that read row n.
  return program.record(y, [table], (dy) => [
    scatterAdd(reshape(indices, [indices.size]), reshape(dy, [indices.size, ...rest]), tableRows),
  ]);
}
