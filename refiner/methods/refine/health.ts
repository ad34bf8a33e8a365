import type { Precision } from "../../../models/index.ts";
import { CollapseError } from "../../training/collapse_error.ts";
import type { HeadMetrics } from "./head_metrics.ts";
import type { UpdateResult } from "./stage.ts";

/** Neighbours as similar as this are all the same point. */
const saturatedSimilarity = 0.9995;
/** Updates in a row that a sign of collapse must last. */
const patience = 50;

/** How close to chance the loss of constant predictions is: round-off only. */
const chanceTolerance = 1e-4;

/** Watches the metrics of a run for divergence and collapse. */
export class HealthMonitor {
  readonly #saturated = new Map<string, number>();
  readonly #constant = new Map<string, number>();
  #skipped = 0;
  #skippedInARow = 0;

  constructor(
    readonly batch: number,
    readonly precision: Precision = "f32",
  ) {}

  /** @throws CollapseError with the likely cause, the evidence, and what to change */
  check(update: number, result: UpdateResult): void {
    this.#checkSkipped(update, result);
    for (const [name, head] of Object.entries(result.heads)) {
      if (!Number.isFinite(head.loss)) {
        throw new CollapseError(
          `refine: the loss of head ${name} is ${head.loss} at update ${update} (gradient norms: heads ${result.gradientNorm.heads}, encoder ${result.gradientNorm.encoder ?? "frozen"}): the learning rate is probably too high (now ${result.learningRate.encoder ?? result.learningRate.heads}); lower stage2LearningRate or stage3LearningRate, or lengthen the warm-up${this.precision === "f16" ? "; an activation beyond 65504, the largest f16, has the same effect: try precision f32" : ""}`,
        );
      }
      this.#checkConstant(name, update, head);
      const run = head.nnSimilarity > saturatedSimilarity ? (this.#saturated.get(name) ?? 0) + 1 : 0;
      this.#saturated.set(name, run);
      if (run >= patience) {
        throw new CollapseError(
          `refine: head ${name} has collapsed: the similarity to the nearest neighbours was above ${saturatedSimilarity} for ${run} updates (now ${head.nnSimilarity.toFixed(6)}, alignment ${head.globalAlignment.toFixed(3)}): all projections are one point; lower the learning rate, raise the temperature, or use a larger batch`,
        );
      }
    }
  }

  /** The factor is at its smallest after sixteen halvings: an overflow that goes on is not its fault. */
  #checkSkipped(update: number, { lossScale }: UpdateResult): void {
    if (!lossScale) return;
    this.#skippedInARow = lossScale.skipped > this.#skipped ? this.#skippedInARow + 1 : 0;
    this.#skipped = lossScale.skipped;
    if (this.#skippedInARow >= patience) {
      throw new CollapseError(
        `refine: the encoder's gradients overflowed f16 in ${patience} updates in a row up to ${update}, though the loss scale went down to ${lossScale.scale}: train in precision f32, or lower the learning rate if earlier updates grew the gradients`,
      );
    }
  }

  /** Predictions that do not differ give every column the same logit: the loss is ln B, and each target has probability 1 / B. */
  #checkConstant(name: string, update: number, head: HeadMetrics): void {
    const chance = Math.log(this.batch);
    const isChance =
      this.batch > 1 &&
      Math.abs(head.globalLoss - chance) < chanceTolerance * chance &&
      Math.abs(head.globalAlignment * this.batch - 1) < chanceTolerance * 10;
    const run = isChance ? (this.#constant.get(name) ?? 0) + 1 : 0;
    this.#constant.set(name, run);
    if (run >= patience) {
      throw new CollapseError(
        `refine: the predictions of head ${name} have no variance left: for ${run} updates up to ${update} the loss was that of constant predictions (${head.globalLoss.toFixed(5)}, ln ${this.batch} is ${chance.toFixed(5)}; alignment ${head.globalAlignment.toExponential(2)}): lower the learning rate, or check that the images differ`,
      );
    }
  }
}
