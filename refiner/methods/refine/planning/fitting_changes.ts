import { type Device, OptionError } from "../../../../engine/index.ts";
import type { VitConfig } from "../../../../models/index.ts";
import { fixedPart } from "../../fixed_parts.ts";
import type { RefineConfig } from "../refine_config.ts";
import { type FittingChange, PlanSearch, type PlanTask } from "./plan_search.ts";

/**
 * The cheapest changes that make stage 3 fit into `memoryBytes`, by the time that is predicted for an update: micro-batches, with
 * state on the host and blocks recomputed where that is cheapest; beside it the same in f16, or of a reproducible run that does not fit, with smaller parts. Only where none fits: fewer heads,
 * fewer blocks trained, no local views. Each is planned, not estimated.
 *
 * @returns exact ones first, then f16, then those that change the method; the fastest first
 * @throws OptionError if nothing helps, with the least that would be needed
 */
export function fittingChanges(
  device: Device,
  vit: VitConfig,
  config: RefineConfig,
  images: number,
  memoryBytes: number,
): FittingChange[] {
  const task = { device, vit, config, images, memoryBytes };
  const search = new PlanSearch(task);
  const canBeHalf = config.precision === "f32" && !config.reproducible && device.features.has("shader-f16");
  const half: Partial<RefineConfig>[] = canBeHalf ? [{ precision: "f16" }] : [];
  const found = [{}, ...half].map((change) => search.cheapest(change));
  if (!found[0] && config.reproducible) found.push(withSmallerPart(task));
  // Changes of the method are worth naming only where nothing else helps.
  if (!found.some((change) => change !== undefined))
    for (const other of methodChanges(config))
      found.push(search.cheapest(other) ?? half.map((change) => search.cheapest({ ...change, ...other }))[0]);
  const changes = found.filter((change) => change !== undefined);
  if (changes.length === 0) {
    throw new OptionError(
      `refine: no micro-batch fits into ${memoryBytes} bytes; the least that was planned is ${search.leastBytes} bytes: use a smaller model, fewer heads, a shorter queue or a smaller batch`,
    );
  }
  return changes.sort((a, b) => changeKind(a) - changeKind(b) || a.plan.predictedSeconds - b.plan.predictedSeconds);
}

/** The same with the largest smaller part that fits: another order of summation, with other bytes. */
function withSmallerPart(task: PlanTask): FittingChange | undefined {
  const { config } = task;
  const { batch } = config;
  let gradientPart = fixedPart("refine", { ...config, microBatch: 0 }) ?? batch;
  while (gradientPart > 1) {
    gradientPart = Math.floor(gradientPart / 2);
    while (batch % gradientPart !== 0) gradientPart--;
    const found = new PlanSearch({ ...task, config: { ...config, gradientPart } }).cheapest({});
    if (found) return { ...found, change: { gradientPart, ...found.change } };
  }
  return undefined;
}

/** Settings that leave the result as it is. */
const exactChanges: ReadonlySet<string> = new Set(["microBatch", "recompute", "recomputeBlocks", "offload"]);

/** 0 gives the same numbers, 1 rounds them to f16 on the way, 2 is another method. */
function changeKind({ change }: FittingChange): number {
  const others = Object.keys(change).filter((key) => !exactChanges.has(key));
  if (others.length === 0) return 0;
  return others.every((key) => key === "precision") ? 1 : 2;
}

/** What costs some of the method: fewer trained blocks, no local views, heads at the last half of the blocks that have one. */
function methodChanges({ heads, localViews }: RefineConfig): Partial<RefineConfig>[] {
  const fewer = heads.slice(Math.floor(heads.length / 2));
  return [
    { recompute: true, frozenShare: 0.5 },
    ...(localViews > 0 ? [{ recompute: true, localViews: 0 }] : []),
    ...(fewer.length < heads.length ? [{ recompute: true, heads: fewer }] : []),
  ];
}
