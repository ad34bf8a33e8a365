import { z } from "zod";
import type { LinearProbeConfig } from "./probe_config.ts";

const counts = z.array(z.int().nonnegative());

/** What all heads got right after an epoch: a line of metrics.jsonl. */
export const probeScoresSchema = z.object({
  kind: z.literal("probe"),
  stage: z.literal(1),
  /** Completed epochs. */
  epoch: z.int().min(1),
  /** Right ones among the held-out images, per head of the grid; where images are held out. */
  heldOut: counts.optional(),
  /** Right ones among the test images, per head of the grid. */
  test: counts,
});
export type ProbeScores = z.output<typeof probeScoresSchema>;

/** A head after some epoch. */
export interface ProbeChoice {
  /** Place in the grid. */
  readonly head: number;
  readonly epoch: number;
}

/** Right ones per head on the images that choose. */
export function choosingCounts(scores: ProbeScores, select: LinearProbeConfig["select"]): readonly number[] {
  return (select === "test" ? scores.test : scores.heldOut) ?? [];
}

/**
 * The best head of an epoch and how many it got right on the images that choose. Of equals the first of the grid: the smallest
 * rate, and of one rate the first feature.
 *
 * @param choosableHeads - heads that may be it: the first ones; default all
 */
export function bestHead(
  scores: ProbeScores,
  select: LinearProbeConfig["select"],
  choosableHeads = Number.POSITIVE_INFINITY,
): { readonly head: number; readonly correct: number } {
  let best = { head: 0, correct: -1 };
  choosingCounts(scores, select).forEach((correct, head) => {
    if (head < choosableHeads && correct > best.correct) best = { head, correct };
  });
  return best;
}

/** The best head and epoch so far; of equals the earliest epoch. */
export class ProbeSelection {
  #best: (ProbeChoice & { readonly correct: number }) | undefined;

  /** @param choosableHeads - as in {@link bestHead} */
  constructor(
    readonly select: LinearProbeConfig["select"],
    readonly choosableHeads?: number,
  ) {}

  get best(): ProbeChoice | undefined {
    return this.#best;
  }

  /** @returns whether these scores are the best so far */
  add(scores: ProbeScores): boolean {
    const { head, correct } = bestHead(scores, this.select, this.choosableHeads);
    if (this.#best && correct <= this.#best.correct) return false;
    this.#best = { head, epoch: scores.epoch, correct };
    return true;
  }
}

/**
 * Right ones per head, in the order of a grid's heads.
 *
 * @param predicted - per feature `[rows · rates]`
 * @param labels - of the rows that count
 * @param choosableFeatures - features whose heads come first; default all
 */
export function correctPerHead(
  predicted: readonly ArrayLike<number>[],
  labels: ArrayLike<number>,
  rates: number,
  choosableFeatures = predicted.length,
): number[] {
  if (choosableFeatures < predicted.length)
    return [predicted.slice(0, choosableFeatures), predicted.slice(choosableFeatures)].flatMap((some) =>
      correctPerHead(some, labels, rates),
    );
  const correct = new Array<number>(predicted.length * rates).fill(0);
  predicted.forEach((classes, feature) => {
    for (let row = 0; row < labels.length; row++)
      for (let rate = 0; rate < rates; rate++) {
        const head = rate * predicted.length + feature;
        if (classes[row * rates + rate] === labels[row]) correct[head] = (correct[head] ?? 0) + 1;
      }
  });
  return correct;
}
