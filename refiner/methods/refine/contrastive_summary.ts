import { d, tgpu } from "typegpu";
import { defineKernel, type Program, Tensor } from "../../../engine/index.ts";
import source from "../../../shaders/contrastive_summary.wgsl" with { type: "text" };

const Params = d
  .struct({
    batch: d.u32,
    views: d.u32,
    globalViews: d.u32,
    localFirst: d.u32,
    localViews: d.u32,
    rows: d.u32,
    entries: d.u32,
    stored: d.u32,
    first: d.u32,
  })
  .$name("Params");
const floats = d.arrayOf(d.f32);
const words = d.arrayOf(d.u32);
const labels = d.arrayOf(d.i32);
export const contrastiveSummaryKernel = defineKernel({
  name: "contrastive_summary",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    losses: { storage: d.arrayOf(d.vec2f) },
    neighbours: { storage: words },
    similarities: { storage: floats },
    ages: { storage: labels },
    queueClasses: { storage: labels },
    classes: { storage: labels },
    metrics: { storage: floats, access: "mutable" },
    pointer: { storage: words, access: "mutable" },
  }),
});

/** Numbers of a head by position: loss; loss and alignment of global pairs, and of pairs with local views; neighbours. */
export const headMetricNames = [
  "total",
  "globalLoss",
  "globalAlignment",
  "localLoss",
  "localAlignment",
  "nnSimilarity",
  "nnAge",
  "nnAccuracy",
] as const;

/** Chosen neighbours and the queue that they are entries of. */
export interface NeighbourSource {
  /** Chosen slots and similarities, `[R]`. */
  readonly slots: Tensor;
  readonly similarities: Tensor;
  /** Class of each batch entry, `[B]` i32, -1 where unknown. */
  readonly classes: Tensor;
  readonly queue: {
    readonly length: number;
    readonly ages: Tensor;
    readonly classes: Tensor;
    readonly pointer: Tensor;
  };
  /** Entries by which the pointer moves once the metrics are taken: the batch in training, 0 in evaluation mode. */
  readonly stored: number;
}

/** A row of a table of metrics, `[heads, headMetricNames.length]`. */
export interface MetricsRow {
  readonly table: Tensor;
  readonly row: number;
}

/** Counts of a batch as the kernels name them. */
interface Counts {
  readonly batch: number;
  readonly views: number;
  readonly globalViews: number;
  readonly localFirst: number;
  readonly localViews: number;
}

/** Records the metrics of a head from its table of losses, and moves the pointer of its queue. */
export function summarize(
  program: Program,
  losses: Tensor,
  counts: Counts,
  { neighbours, metrics }: { readonly neighbours?: NeighbourSource; readonly metrics?: MetricsRow },
): { readonly loss: Tensor; readonly metrics: Tensor } {
  const { table, row } = metrics ?? { table: program.empty([headMetricNames.length]), row: 0 };
  const first = headMetricNames.length * row;
  const queue = neighbours?.queue;
  const moves = neighbours !== undefined && neighbours.stored > 0;
  const none = (dtype: "f32" | "i32" | "u32"): Tensor => program.empty([1], dtype);
  program.dispatch(
    contrastiveSummaryKernel,
    {
      ...counts,
      rows: neighbours?.slots.size ?? 0,
      entries: queue?.length ?? 1,
      stored: neighbours?.stored ?? 0,
      first,
    },
    {
      losses,
      neighbours: neighbours?.slots ?? none("u32"),
      similarities: neighbours?.similarities ?? none("f32"),
      ages: queue?.ages ?? none("i32"),
      queueClasses: queue?.classes ?? none("i32"),
      classes: neighbours?.classes ?? none("i32"),
      metrics: table,
      pointer: queue && moves ? queue.pointer : none("u32"),
    },
    [1],
  );
  return { loss: new Tensor(table.device, [1], "f32", table.storage, table.byteOffset + 4 * first), metrics: table };
}
