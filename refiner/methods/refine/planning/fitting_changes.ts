import { type Device, OptionError } from "../../../../engine/index.ts";
import type { VitConfig } from "../../../../models/index.ts";
import type { RefineConfig } from "../refine_config.ts";
import { type FittingChange, PlanSearch } from "./plan_search.ts";

/**
 * The cheapest changes that make stage 3 fit into `memoryBytes`, by the time that is predicted for an update: micro-batches, with
 * state on the host and blocks recomputed where that is cheapest; beside it the same in f16. Only where neither fits: fewer heads,
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
  const search = new PlanSearch({ device, vit, config, images, memoryBytes });
  const half: Partial<RefineConfig>[] =
    config.precision === "f32" && device.features.has("shader-f16") ? [{ precision: "f16" }] : [];
  const found = [{}, ...half].map((change) => search.cheapest(change));
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
