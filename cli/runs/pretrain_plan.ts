import type { Device } from "../../engine/index.ts";
import { type PretrainConfig, type PretrainPlanData, planPretraining } from "../../refiner/index.ts";
import { fittingBatch } from "../../refiner/methods/mae/dry_run.ts";
import { gpuPlanningDevice } from "../../refiner/methods/refine/planning/dry_run.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { fitting, planWithin } from "./plan_within.ts";

/** What to plan. */
interface PlannedPretraining extends PretrainPlanData {
  readonly device: Device;
  readonly config: PretrainConfig;
  /** Memory to fit into; undefined: the limits of the device, and a trial allocation. */
  readonly memoryBytes: number | undefined;
}

/** Prints what a pre-training would take, and the batch with which it would fit. */
export async function printPretrainPlan(planned: PlannedPretraining, output: Output): Promise<void> {
  const { device: own, config, memoryBytes, ...data } = planned;
  // Where the memory is given, the plan is for a device that may not be this one.
  const device = memoryBytes === undefined ? own : gpuPlanningDevice(own);
  const plan = planWithin(() => planPretraining(device, config, data));
  if (typeof plan === "string") {
    output.line(plan);
    return output.result({ overLimit: plan, fits: false });
  }
  const { encoderParameters, decoderParameters, memory, flopsPerUpdate, updates } = plan;
  const millions = (count: number): string => `${(count / 1e6).toFixed(1)} M parameters`;
  output.line(`${updates} updates of ${config.batch} images, ${(flopsPerUpdate / 1e9).toPrecision(3)} GFLOP each`);
  output.pairs([
    ["encoder", millions(encoderParameters)],
    ["decoder", millions(decoderParameters)],
    ...Object.entries(memory).map(([kind, bytes]): [string, string] => [kind, formatBytes(bytes)]),
  ]);
  const { fits, room } = await fitting(memory.total, { device: own, memoryBytes }, output);
  const batch = fits ? undefined : fittingBatch(device, config, data, room);
  if (batch !== undefined) output.line(`what would fit: batch=${batch}, which is another training`);
  output.result({ plan, fits, ...(batch === undefined ? {} : { change: { batch } }) });
}
