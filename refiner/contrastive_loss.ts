import { d, tgpu } from "typegpu";
import {
  checkSameShape,
  defineKernel,
  matmul,
  matrixShape,
  OptionError,
  programOf,
  rows,
  ShapeError,
  type Tensor,
} from "../engine/index.ts";
import lossSource from "../shaders/contrastive_loss.wgsl" with { type: "text" };
import gradSource from "../shaders/contrastive_loss_grad.wgsl" with { type: "text" };
import summarySource from "../shaders/contrastive_summary.wgsl" with { type: "text" };

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
    similarities: { storage: floats },
    positives: { storage: floats },
    predictions: { storage: floats },
    gradients: { storage: floats, access: "mutable" },
    diagonals: { storage: floats, access: "mutable" },
    losses: { storage: d.arrayOf(d.vec2f), access: "mutable" },
  }),
});

const SummaryParams = d
  .struct({ batch: d.u32, views: d.u32, globalViews: d.u32, localFirst: d.u32, localViews: d.u32 })
  .$name("Params");
export const contrastiveSummaryKernel = defineKernel({
  name: "contrastive_summary",
  source: summarySource,
  params: SummaryParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: SummaryParams },
    losses: { storage: d.arrayOf(d.vec2f) },
    summary: { storage: floats, access: "mutable" },
  }),
});

const GradParams = d.struct({ batch: d.u32, views: d.u32, globalViews: d.u32, columns: d.u32 }).$name("Params");
export const contrastiveLossGradKernel = defineKernel({
  name: "contrastive_loss_grad",
  source: gradSource,
  params: GradParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: GradParams },
    products: { storage: floats },
    diagonals: { storage: floats },
    positives: { storage: floats },
    dLoss: { storage: floats },
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

export interface ContrastiveLoss {
  /** Mean over all view pairs, `[1]`; carries the gradient of the predictions. */
  readonly loss: Tensor;
  /** `[5]`: loss; loss and alignment of global pairs; loss and alignment of pairs with local views. */
  readonly summary: Tensor;
}

/** Values of `ContrastiveLoss.summary` by position. */
export const summaryNames = ["total", "globalLoss", "globalAlignment", "localLoss", "localAlignment"] as const;

/**
 * Nearest-neighbour alignment loss (arXiv 2402.10093, eq. 2): InfoNCE whose positive was swapped for a neighbour. All rows have
 * unit length; only the predictions carry gradient.
 *
 * @param anchors - `[V_g · B, P]`, the negatives' side
 * @param positives - `[V_g · B, P]`, the positives' side: swapped rows, or the anchors themselves
 * @param predictions - `[V · B, P]`, view-major
 * @throws ShapeError if the rows do not match the layout, OptionError for a temperature that is not positive
 */
export function contrastiveLoss(
  anchors: Tensor,
  positives: Tensor,
  predictions: Tensor,
  layout: ViewLayout,
  temperature: number,
): ContrastiveLoss {
  const { batch, globalViews, localViews } = layout;
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
  const similarities = matmul(anchors, predictions, { transposeB: true });
  const gradients = program.empty([anchorRows, views * batch]);
  const diagonals = program.empty([anchorRows, views]);
  const losses = program.empty([anchorRows, views, 2]);
  const summary = program.empty([summaryNames.length]);
  const localFirst = layout.localIndexing === "stated" ? globalViews : 0;
  const counts = { batch, views, globalViews, localFirst, localViews };
  program.dispatch(
    contrastiveLossKernel,
    { ...counts, columns, inverseTemperature: 1 / temperature, scale: 1 / (pairs * batch) },
    { similarities, positives, predictions, gradients, diagonals, losses },
    [anchorRows, views],
    { flops: anchorRows * views * (2 * columns + 8 * batch) },
  );
  program.dispatch(contrastiveSummaryKernel, counts, { losses, summary }, [1]);
  const loss = rows(summary, 0, 1);
  program.record(loss, [predictions], (dLoss) => {
    const products = matmul(gradients, anchors, { transposeA: true });
    const owner = program.resolve(); // another one where this recording was merged meanwhile
    const dPredictions = owner.empty(predictions.shape);
    owner.dispatch(
      contrastiveLossGradKernel,
      { batch, views, globalViews, columns },
      { products, diagonals, positives, dLoss, dPredictions },
      [Math.min(4096, Math.ceil(predictions.size / 64))],
    );
    return [dPredictions];
  });
  return { loss, summary };
}
