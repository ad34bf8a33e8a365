import { type Exchange, ownerOf } from "../../exchange/exchange.ts";
import { headMetricNames } from "./contrastive_summary.ts";
import type { RefinerModel } from "./refiner_model.ts";

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

/** What an update tells of heads: the metrics of each, as one table, and the norm of their gradients. */
export interface HeadNumbers {
  readonly metrics: ArrayLike<number>;
  readonly norm: number;
}

/** The numbers of all heads, at all ranks, from those of the heads that live at each; the norm is the root of the summed squares. */
export async function allHeadMetrics(
  { placed }: RefinerModel,
  exchange: Exchange,
  own: HeadNumbers,
): Promise<HeadNumbers> {
  if (exchange.size === 1) return own;
  const shared = await exchange.share([own.norm, ...Array.from(own.metrics)].map(String).join(" ")); // JSON has no NaN
  const ranks = shared.map((text) => text.split(" ").map(Number));
  const columns = headMetricNames.length;
  const taken = ranks.map(() => 1); // behind the norm
  const metrics = placed.flatMap((_, head) => {
    const owner = ownerOf(head, placed.length, exchange.size);
    const from = taken[owner] ?? 1;
    taken[owner] = from + columns;
    return ranks[owner]?.slice(from, from + columns) ?? [];
  });
  const squares = ranks.map(([norm = 0], rank) => ((taken[rank] ?? 1) > 1 ? norm * norm : 0));
  return { metrics, norm: Math.sqrt(squares.reduce((sum, square) => sum + square, 0)) };
}
