import { EngineError } from "../engine/index.ts";
import type { UpdateResult } from "./stage.ts";

/** Training went wrong in a way that more updates will not mend. */
export class CollapseError extends EngineError {}

/** Neighbours as similar as this are all the same point. */
const saturatedSimilarity = 0.9995;
/** Updates in a row that a sign of collapse must last. */
const patience = 50;

/** Watches the metrics of a run for divergence and collapse. */
export class HealthMonitor {
  readonly #saturated = new Map<string, number>();

  /** @throws CollapseError with the likely cause, the evidence, and what to change */
  check(update: number, result: UpdateResult): void {
    for (const [name, head] of Object.entries(result.heads)) {
      if (!Number.isFinite(head.loss)) {
        throw new CollapseError(
          `refine: the loss of head ${name} is ${head.loss} at update ${update} (gradient norms: heads ${result.gradientNorm.heads}, encoder ${result.gradientNorm.encoder ?? "frozen"}): the learning rate is probably too high (now ${result.learningRate.encoder ?? result.learningRate.heads}); lower stage2LearningRate or stage3LearningRate, or lengthen the warm-up`,
        );
      }
      const run = head.nnSimilarity > saturatedSimilarity ? (this.#saturated.get(name) ?? 0) + 1 : 0;
      this.#saturated.set(name, run);
      if (run >= patience) {
        throw new CollapseError(
          `refine: head ${name} has collapsed: the similarity to the nearest neighbours was above ${saturatedSimilarity} for ${run} updates (now ${head.nnSimilarity.toFixed(6)}, alignment ${head.globalAlignment.toFixed(3)}): all projections are one point; lower the learning rate, raise the temperature, or use a larger batch`,
        );
      }
    }
  }
}
