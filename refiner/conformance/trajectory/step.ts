import type { HostArray } from "../../../engine/index.ts";
import type { HeadMetrics } from "../../methods/refine/head_metrics.ts";
import type { UpdateResult } from "../../methods/refine/stage.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Json } from "../json.ts";
import type { StepBounds } from "./run_bounds.ts";

/** Choices of neighbours in a run, and those that differ from the stored ones. */
export interface Choices {
  count: number;
  different: number;
}

export interface StepValues {
  readonly names: readonly string[];
  readonly result: UpdateResult;
  /** Chosen slots as `slots0`, `slots1`, … */
  readonly values: Readonly<Record<string, HostArray>>;
  /** Error that the run's own float64 differences justify. */
  readonly absolute: number | undefined;
  readonly bounds: StepBounds;
  /** Counted in f16. */
  readonly chosen: Choices;
}

const lossNames = { total: "loss", global_loss: "globalLoss", local_loss: "localLoss" } as const;
const infoNames = {
  "nn-similarity": "nnSimilarity",
  "nn-age": "nnAge",
  "nn-accuracy": "nnAccuracy",
  global_alignment: "globalAlignment",
  local_alignment: "localAlignment",
} as const;

/**
 * Losses, metrics and chosen slots of one update. In f16 the numbers of a head are compared where all its neighbours are the
 * stored ones.
 *
 * @param json - the update in the JSON file
 * @param float64 - the losses of the same update in float64
 */
export function checkStep(golden: GoldenCase, json: Json, float64: Json, step: StepValues): void {
  const { names, result, values } = step;
  const isHalf = golden.precision === "f16";
  const differing = names.map((name, i) => countDifferent(json, name, values[`slots${i}`] ?? [], step.chosen));
  if (!isHalf || differing.every((count) => count === 0)) {
    for (const losses of [json.get("losses"), float64])
      compare(golden, losses.get("total"), result.loss, step.bounds.loss, step.absolute);
  }
  names.forEach((name, i) => {
    const metrics = result.heads[name];
    if (!metrics || (isHalf && (differing[i] ?? 0) > 0)) return;
    checkHeadMetrics(golden, name, metrics, { json, float64, step });
    golden.addScalar(json.get("infos", `loss_weight/${name}`), 1, goldenBounds.exact); // the loss is a plain sum
    const slots = json.get("neighbours", name, "queue_idx");
    golden.add(slots.path, values[`slots${i}`] ?? [], slots.numbers(), goldenBounds.exact);
  });
}

function countDifferent(json: Json, name: string, slots: ArrayLike<number>, chosen: Choices): number {
  const stored = json.get("neighbours", name, "queue_idx").numbers();
  const different = stored.filter((slot, at) => slot !== slots[at]).length;
  chosen.count += stored.length;
  chosen.different += different;
  return different;
}

function checkHeadMetrics(
  golden: GoldenCase,
  name: string,
  metrics: HeadMetrics,
  { json, float64, step }: { readonly json: Json; readonly float64: Json; readonly step: StepValues },
): void {
  const { bounds, absolute } = step;
  for (const losses of [json.get("losses"), float64]) {
    for (const [key, ours] of Object.entries(lossNames))
      compare(golden, losses.get(`heads.${name}.${key}`), metrics[ours], bounds.loss, absolute);
  }
  // A probability is e to the minus loss: its relative error is the absolute one of the loss.
  const info = golden.precision === "f16" ? bounds.loss * Math.max(1, metrics.loss) : bounds.info;
  for (const [key, ours] of Object.entries(infoNames))
    compare(golden, json.get("infos", `${key}/${name}`), metrics[ours], info, absolute);
}

/** Compares with a number of the file, where it holds one. */
function compare(golden: GoldenCase, at: Json, actual: number, tight: number, absolute: number | undefined): void {
  if (!at.exists) return;
  const expected = Math.max(Math.abs(at.number()), 1e-6);
  golden.addScalar(at, actual, absolute === undefined ? tight : Math.max(tight, absolute / expected));
}
