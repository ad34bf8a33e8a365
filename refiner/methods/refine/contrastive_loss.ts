import { d, tgpu } from "typegpu";
import {
  checkSameShape,
  defineKernel,
  matmul,
  matrixShape,
  OptionError,
  programOf,
  ShapeError,
  type Tensor,
} from "../../../engine/index.ts";
import { unitRows } from "../../../engine/ops/l2_normalize.ts";
import lossSource from "../../../shaders/contrastive_loss.wgsl" with { type: "text" };
import gradSource from "../../../shaders/contrastive_loss_grad.wgsl" with { type: "text" };
import { type MetricsRow, type NeighbourSource, summarize } from "./contrastive_summary.ts";

const LossParams = d
  .struct({
    batch: d.u32,
    views: d.u32,
    globalViews: d.u32,
    localFirst: d.u32,
    localViews: d.u32,
    columns: d.u32,
    inverseTemperature: d.f32,
    scale: d.f32,
  })
  .$name("Params");
const floats = d.arrayOf(d.f32);
export const contrastiveLossKernel = defineKernel({
  name: "contrastive_loss",
  source: lossSource,
  params: LossParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: LossParams },
    positives: { storage: floats },
    predictions: { storage: floats },
    similarities: { storage: floats, access: "mutable" },
    diagonals: { storage: floats, access: "mutable" },
    losses: { storage: d.arrayOf(d.vec2f), access: "mutable" },
  }),
});

const GradParams = d
  .struct({ batch: d.u32, views: d.u32, globalViews: d.u32, columns: d.u32, floor: d.f32 })
  .$name("Params");
export const contrastiveLossGradKernel = defineKernel({
  name: "contrastive_loss_grad",
  source: gradSource,
  params: GradParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: GradParams },
    diagonals: { storage: floats },
    positives: { storage: floats },
    dLoss: { storage: floats },
    units: { storage: floats },
    scale: { storage: floats },
    dPredictions: { storage: floats, access: "mutable" },
  }),
});

/** Views of a batch and which of them the local terms use. */
export interface ViewLayout {
  readonly batch: number;
  readonly globalViews: number;
  readonly localViews: number;
  /**
   * `stated`: predictions of the local views. `published`: predictions of views 0 … V_l - 1, as the published code counts
   * (method of the published models).
   */
  readonly localIndexing: "stated" | "published";
}

/** Where the numbers of a head go, and what of its neighbours they are made from. */
export interface ContrastiveOptions extends ViewLayout {
  readonly temperature: number;
  /** Neighbours behind the positives, for their metrics; 0 without. */
  readonly neighbours?: NeighbourSource;
  /** Where to write the metrics; a tensor of their own if left out. */
  readonly metrics?: MetricsRow;
}

export interface ContrastiveLoss {
  /** Mean over all view pairs, `[1]`; carries the gradient of the predictions. A view that is read back, never bound. */
  readonly loss: Tensor;
  /** `headMetricNames` by position; the shared table where one was given. */
  readonly metrics: Tensor;
}

/**
 * Nearest-neighbour alignment loss (arXiv 2402.10093, eq. 2): InfoNCE whose positive was swapped for a neighbour. Only the
 * predictions carry gradient. All pairs of views are one product, whose gradient takes its place in memory.
 *
 * @param anchors - `[V_g · B, P]`, the negatives' side, rows of unit length
 * @param positives - `[V_g · B, P]`, the positives' side, rows of unit length: swapped rows, or the anchors themselves
 * @param predictions - `[V · B, P]`, view-major; scaled to unit length here
 * @throws ShapeError if the rows do not match the layout, OptionError for a temperature that is not positive
 */
export function contrastiveLoss(
  anchors: Tensor,
  positives: Tensor,
  predictions: Tensor,
  options: ContrastiveOptions,
): ContrastiveLoss {
  const { batch, globalViews, localViews, temperature } = options;
  const views = globalViews + localViews;
  const [anchorRows, columns] = matrixShape("contrastiveLoss", "anchors", anchors);
  if (!(temperature > 0))
    throw new OptionError(`contrastiveLoss: temperature ${temperature} is not positive; 0.2 is usual`);
  if (anchorRows !== globalViews * batch)
    throw new ShapeError(
      `contrastiveLoss: ${anchorRows} anchors, expected ${globalViews} global views × batch ${batch}`,
    );
  const pairs = globalViews * (globalViews - 1) + globalViews * localViews;
  if (pairs === 0)
    throw new OptionError("contrastiveLoss: one global view and no local views make no pair; use two global views");
  checkSameShape("contrastiveLoss", "positives", positives.shape, anchors.shape);
  checkSameShape("contrastiveLoss", "predictions", predictions.shape, [views * batch, columns]);
  const program = programOf("contrastiveLoss", anchors, positives, predictions);
  const { unit, scale, floor } = unitRows(predictions);
  const similarities = matmul(anchors, unit, { transposeB: true });
  const diagonals = program.empty([anchorRows, views]);
  const losses = program.empty([anchorRows, views, 2]);
  const localFirst = options.localIndexing === "stated" ? globalViews : 0;
  const counts = { batch, views, globalViews, localFirst, localViews };
  program.dispatch(
    contrastiveLossKernel,
    { ...counts, columns, inverseTemperature: 1 / temperature, scale: 1 / (pairs * batch) },
    { similarities, positives, predictions: unit, diagonals, losses },
    [anchorRows, views],
    { flops: anchorRows * views * (2 * columns + 8 * batch) },
  );
  const { loss, metrics } = summarize(program, losses, counts, options);
  program.record(loss, [predictions], (dLoss) => {
    const owner = program.resolve(); // another one where this recording was merged meanwhile
    const dPredictions = matmul(similarities, anchors, { transposeA: true });
    owner.dispatch(
      contrastiveLossGradKernel,
      { batch, views, globalViews, columns, floor },
      { diagonals, positives, dLoss, units: unit, scale, dPredictions },
      [Math.min(65535, views * batch)],
      { flops: (2 * globalViews + 6) * predictions.size },
    );
    return [dPredictions];
  });
  return { loss, metrics };
}
