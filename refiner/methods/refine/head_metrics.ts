import { headMetricNames } from "./contrastive_summary.ts";

/** Scalars of one head in one update. */
export interface HeadMetrics {
  readonly loss: number;
  readonly globalLoss: number;
  readonly globalAlignment: number;
  readonly localLoss: number;
  readonly localAlignment: number;
  readonly nnSimilarity: number;
  readonly nnAge: number;
  readonly nnAccuracy: number;
}

/** Cuts the metrics matrix `[heads, headMetricNames.length]` of a step into records. */
export function readHeadMetrics(names: readonly string[], values: ArrayLike<number>): Record<string, HeadMetrics> {
  return Object.fromEntries(
    names.map((name, row): [string, HeadMetrics] => {
      const at = (metric: (typeof headMetricNames)[number]): number =>
        values[row * headMetricNames.length + headMetricNames.indexOf(metric)] ?? Number.NaN;
      return [
        name,
        {
          loss: at("total"),
          globalLoss: at("globalLoss"),
          globalAlignment: at("globalAlignment"),
          localLoss: at("localLoss"),
          localAlignment: at("localAlignment"),
          nnSimilarity: at("nnSimilarity"),
          nnAge: at("nnAge"),
          nnAccuracy: at("nnAccuracy"),
        },
      ];
    }),
  );
}
