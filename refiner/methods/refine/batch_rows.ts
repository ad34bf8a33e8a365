import { d, tgpu } from "typegpu";
import { defineKernel, type Program, type Tensor } from "../../../engine/index.ts";
import source from "../../../shaders/batch_rows.wgsl" with { type: "text" };

const Params = d.struct({ views: d.u32, batch: d.u32, part: d.u32, columns: d.u32 }).$name("Params");
export const batchRowsKernel = defineKernel({
  name: "batch_rows",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    source: { storage: d.arrayOf(d.f32) },
    first: { storage: d.arrayOf(d.u32) },
    destination: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/** Rows of a micro-batch of `part` images inside a batch. */
export interface BatchPart {
  readonly views: number;
  readonly batch: number;
  readonly part: number;
  /** First image of the part, `[1]` u32. */
  readonly first: Tensor;
}

/** Writes pooled features `[V · m, D]` of a micro-batch into those of the batch, state of `[V · B, D]`. */
export function writeBatchRows(program: Program, rows: Tensor, batch: Tensor, part: BatchPart): void {
  copy(program, rows, batch, part, 1);
}

/** Rows `[V · m, D]` of a micro-batch from state of `[V · B, D]`. */
export function readBatchRows(program: Program, batch: Tensor, part: BatchPart): Tensor {
  const rows = program.empty([part.views * part.part, batch.shape.at(-1) ?? 1]);
  copy(program, batch, rows, part, 0);
  return rows;
}

function copy(program: Program, source: Tensor, destination: Tensor, at: BatchPart, toBatch: number): void {
  const { views, batch, part, first } = at;
  const columns = source.shape.at(-1) ?? 1;
  const groups = Math.min(4096, Math.ceil((views * part * columns) / 64));
  program.dispatch(batchRowsKernel, { views, batch, part, columns }, { source, first, destination }, [groups], {
    constants: { toBatch },
  });
}
