import { type Device, OptionError, PlanningDevice } from "../../../../engine/index.ts";
import type { VitConfig } from "../../../../models/index.ts";
import { withinLimits } from "../../plan_limits.ts";
import type { RefineConfig } from "../refine_config.ts";
import { dryRun } from "./dry_run.ts";
import { PlanSearch } from "./plan_search.ts";

/**
 * Settings whose `offload` is decided by the planner, where it says auto: nothing where stage 3 fits as it is, else what makes its
 * fastest update by predicted time, together with recomputed blocks, and with the micro-batch unless the settings name one. The
 * result of a run is the same.
 *
 * @param device - that the run is for: what is chosen is within its limits
 * @param images - size of the data set
 * @param ranks - processes that share each batch; the plan is that of the first, which has most to do
 * @returns `config` itself where it does not say auto
 * @throws OptionError where auto is not alone, and where nothing of this fits into `memoryBytes`
 */
export function withPlannedOffload(
  device: Device,
  vit: VitConfig,
  config: RefineConfig,
  images: number,
  memoryBytes: number,
  ranks = 1,
): RefineConfig {
  if (!config.offload.includes("auto")) return config;
  if (config.offload.length > 1)
    throw new OptionError(
      `refine: offload ${config.offload.join(",")} is more than auto; give auto alone or what to offload`,
    );
  const own: RefineConfig = { ...config, offload: [] };
  if (config.stage3Epochs === 0) return own;
  const planning = new PlanningDevice(device, device.limits);
  const plan = withinLimits(() => dryRun(planning, vit, own, images, 3, { ranks }));
  if (plan && plan.memory.total <= memoryBytes) return own;
  const sizes = config.microBatch > 0 ? { sizes: [Math.min(config.microBatch, config.batch)] } : {};
  const search = new PlanSearch({ device: planning, vit, config: own, images, memoryBytes, ranks, ...sizes });
  const found = search.cheapest({});
  if (found) return { ...own, ...found.change };
  throw new OptionError(
    `refine: offload auto: nothing that leaves the result as it is fits into ${memoryBytes} bytes; the least that was planned is ${search.leastBytes} bytes: see --dry-run --memory for what would`,
  );
}
