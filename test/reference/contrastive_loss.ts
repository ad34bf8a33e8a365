import type { ViewLayout } from "../../refiner/methods/refine/contrastive_loss.ts";

/** What the loss returns, in float64. */
export interface ContrastiveReference {
  readonly total: number;
  readonly globalLoss: number;
  readonly globalAlignment: number;
  readonly localLoss: number;
  readonly localAlignment: number;
}

/**
 * The loss pair by pair as the paper writes it: logits[b, c] = (b = c ? n_i[b] : z_i[b]) · p_j[c] / τ, cross-entropy with
 * target b, one mean over all pairs of a global view i and another view j.
 */
export function contrastiveReference(
  anchors: ArrayLike<number>,
  positives: ArrayLike<number>,
  predictions: ArrayLike<number>,
  columns: number,
  layout: ViewLayout,
  temperature: number,
): ContrastiveReference {
  const { batch, globalViews, localViews, localIndexing } = layout;
  const dot = (a: ArrayLike<number>, rowA: number, b: ArrayLike<number>, rowB: number): number => {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += (a[rowA * columns + c] ?? 0) * (b[rowB * columns + c] ?? 0);
    return sum;
  };
  const pair = (i: number, j: number): { loss: number; probability: number } => {
    let loss = 0;
    let probability = 0;
    for (let b = 0; b < batch; b++) {
      const logits = Array.from({ length: batch }, (_, c) =>
        c === b
          ? dot(positives, i * batch + b, predictions, j * batch + b) / temperature
          : dot(anchors, i * batch + b, predictions, j * batch + c) / temperature,
      );
      const largest = Math.max(...logits);
      const logSum = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
      loss += (logSum - (logits[b] ?? 0)) / batch;
      probability += Math.exp((logits[b] ?? 0) - logSum) / batch;
    }
    return { loss, probability };
  };
  const first = localIndexing === "stated" ? globalViews : 0;
  const globals = range(0, globalViews).flatMap((i) =>
    range(0, globalViews).flatMap((j) => (i === j ? [] : [pair(i, j)])),
  );
  const locals = range(0, globalViews).flatMap((i) => range(first, first + localViews).map((j) => pair(i, j)));
  return {
    total: mean([...globals, ...locals].map(({ loss }) => loss)),
    globalLoss: mean(globals.map(({ loss }) => loss)),
    globalAlignment: mean(globals.map(({ probability }) => probability)),
    localLoss: mean(locals.map(({ loss }) => loss)),
    localAlignment: mean(locals.map(({ probability }) => probability)),
  };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
}
