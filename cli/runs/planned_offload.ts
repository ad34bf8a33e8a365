import { type Device, trialAllocation } from "../../engine/index.ts";
import type { VitConfig } from "../../models/index.ts";
import { type Exchange, fromFirst } from "../../refiner/exchange/exchange.ts";
import { type RefineConfig, refineConfig, withPlannedOffload } from "../../refiner/index.ts";
import { plannedBytes } from "../../refiner/methods/plan_limits.ts";
import { dryRun } from "../../refiner/methods/refine/planning/dry_run.ts";
import { formatBytes, type Output } from "../output/streams.ts";

/** Memory of the device that nobody names is looked for up to so many bytes: more than any of today's has. */
const mostBytes = 2 ** 40;

/** A run whose settings may leave `offload` to the planner. */
interface Offloading {
  readonly device: Device;
  readonly vit: VitConfig;
  readonly config: RefineConfig;
  readonly images: number;
  /** Of `--memory`; undefined: as much as a trial allocation gets. */
  readonly memoryBytes: number | undefined;
  /** Of the ranks, which all get what the first one chose for the least memory of theirs. */
  readonly exchange: Exchange;
}

/** The settings with what the planner chose, which it tells. @throws OptionError where nothing fits */
export async function plannedSettings(run: Offloading, output: Output): Promise<RefineConfig> {
  const { device, vit, config, images, memoryBytes, exchange } = run;
  if (!config.offload.includes("auto")) return config;
  const { size: ranks } = exchange;
  const needed = plannedBytes(() => dryRun(device, vit, { ...config, offload: [] }, images, 3, { ranks }));
  const own = memoryBytes ?? (await trialAllocation(device, Math.min(needed, mostBytes)));
  const room = Math.min(...(await exchange.share(String(own))).map(Number));
  const found = withPlannedOffload(device, vit, config, images, room, ranks);
  const planned = refineConfig(JSON.parse(await fromFirst(exchange, JSON.stringify(found))));
  const chosen = (["offload", "microBatch", "recompute", "recomputeBlocks"] as const)
    .filter((key) => key === "offload" || planned[key] !== config[key])
    .map((key) => `${key}=${String(planned[key]) || "nothing"}`);
  const how = memoryBytes === undefined ? " (a trial allocation; give --memory to be sure)" : "";
  output.notice(`offload auto, for ${formatBytes(room)}${how}: ${chosen.join(" ")}`);
  return planned;
}

/** The settings of a run that goes on, which has what the planner chose when it began, and whether they asked for it again. */
export function chosenBefore(given: Record<string, unknown>): {
  settings: Record<string, unknown>;
  isPlanned?: boolean;
} {
  const { offload, ...settings } = given;
  const isPlanned = Array.isArray(offload) && offload.length === 1 && offload[0] === "auto";
  return { settings: isPlanned ? settings : given, isPlanned };
}
