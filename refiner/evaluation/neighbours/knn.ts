import { EvaluationError } from "../core/errors.ts";

export interface VoteOptions {
  /** Neighbours per query. */
  readonly k: number;
  readonly classes: number;
  /** τ in the weight exp(similarity/τ) of a vote; 0.07 in the published evaluation. */
  readonly temperature?: number;
}

/**
 * k-NN classification (Wu et al., Unsupervised feature learning via non-parametric instance discrimination, 2018):
 * each neighbour votes for its class with weight exp(similarity/τ). Neighbours without a label (-1) do not vote;
 * of equal votes the smaller class wins.
 *
 * @param similarities - cosine similarities of the k nearest, `[queries, k]`
 * @param labels - classes of these neighbours, `[queries, k]`
 * @returns predicted class per query, -1 where no neighbour has a label
 * @throws EvaluationError if sizes do not fit, a label is not below `classes`, or a similarity is not finite
 */
export function voteOfNeighbours(
  similarities: ArrayLike<number>,
  labels: ArrayLike<number>,
  options: VoteOptions,
): Int32Array {
  const { k, classes, temperature = 0.07 } = options;
  if (!Number.isInteger(k) || k < 1 || similarities.length % k !== 0 || similarities.length !== labels.length) {
    throw new EvaluationError(
      `k-NN: ${similarities.length} similarities and ${labels.length} labels for k = ${k}; give k of each per query`,
    );
  }
  if (!(temperature > 0))
    throw new EvaluationError(`k-NN: the temperature is ${temperature}; give one above 0, such as 0.07`);
  for (let at = 0; at < similarities.length; at++) {
    if (Number.isFinite(similarities[at])) continue;
    throw new EvaluationError(
      `k-NN: query ${Math.floor(at / k)} has the similarity ${similarities[at]}, which is not finite; the features that it compares have diverged`,
    );
  }
  const votes = new Float64Array(classes);
  return Int32Array.from({ length: similarities.length / k }, (_, query) => {
    votes.fill(0);
    let best = Number.NEGATIVE_INFINITY;
    for (let at = query * k; at < (query + 1) * k; at++) best = Math.max(best, similarities[at] ?? best);
    for (let at = query * k; at < (query + 1) * k; at++) {
      const label = labels[at] ?? -1;
      if (label >= classes) {
        throw new EvaluationError(
          `k-NN: label ${label} with ${classes} classes; count the classes over bank and queries`,
        );
      }
      // Relative to the best, so that a small temperature cannot overflow; the common factor changes no order.
      if (label >= 0) votes[label] = (votes[label] ?? 0) + Math.exp(((similarities[at] ?? best) - best) / temperature);
    }
    return largest(votes);
  });
}

/**
 * Share of equal labels, over queries that have a label.
 *
 * @returns 0 … 1; NaN if no query has a label
 */
export function accuracy(predicted: ArrayLike<number>, labels: ArrayLike<number>): number {
  if (predicted.length !== labels.length) {
    throw new EvaluationError(`accuracy: ${predicted.length} predictions for ${labels.length} labels; give one each`);
  }
  let correct = 0;
  let counted = 0;
  for (let query = 0; query < labels.length; query++) {
    const label = labels[query] ?? -1;
    if (label < 0) continue;
    counted++;
    if (predicted[query] === label) correct++;
  }
  return correct / counted;
}

function largest(votes: Float64Array): number {
  let best = -1;
  let most = 0;
  votes.forEach((vote, label) => {
    if (vote > most) {
      most = vote;
      best = label;
    }
  });
  return best;
}
