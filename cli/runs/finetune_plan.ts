import type { Device } from "../../engine/index.ts";
import type { VitConfig } from "../../models/index.ts";
import type { ImageSource } from "../../refiner/index.ts";
import { type FinetuneConfig, type FinetunePlan, fittingMicroBatch, planFinetuning } from "../../refiner/index.ts";
import { classesOf, labelledImages } from "../../refiner/methods/finetune/classes.ts";
import { gpuPlanningDevice } from "../../refiner/methods/refine/planning/dry_run.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { fitting, planWithin } from "./plan_within.ts";

/** What to plan. */
export interface PlannedFinetuning {
  readonly device: Device;
  readonly vit: VitConfig;
  readonly config: FinetuneConfig;
  readonly images: ImageSource;
  /** Memory to fit into; undefined: the limits of the device, and a trial allocation. */
  readonly memoryBytes: number | undefined;
}

/** Prints what a fine-tuning would take, and the micro-batch with which it would fit. */
export async function printFinetunePlan(planned: PlannedFinetuning, output: Output): Promise<void> {
  const { device: own, vit, config, memoryBytes } = planned;
  // Where the memory is given, the plan is for a device that may not be this one.
  const device = memoryBytes === undefined ? own : gpuPlanningDevice(own);
  const { images } = labelledImages(planned.images);
  const data = { images: images.length, classes: classesOf(images).classNames.length };
  const plan = planWithin(() => planFinetuning(device, vit, config, data));
  if (typeof plan === "string") {
    output.line(plan);
    return output.result({ overLimit: plan, fits: false });
  }
  printPlan(plan, output);
  const { fits, room } = await fitting(plan.memory.total, { device: own, memoryBytes }, output);
  const change = fits ? undefined : fittingMicroBatch(device, vit, config, data, room);
  if (change)
    output.line(`what would fit: microBatch=${change.microBatch}${change.recompute ? " recompute=true" : ""}`);
  output.result({ plan, fits, ...(change ? { change } : {}) });
}

function printPlan({ parameters, memory, flopsPerUpdate, updates, microBatch }: FinetunePlan, output: Output): void {
  output.line(
    `${updates} updates in micro-batches of ${microBatch}, ${(flopsPerUpdate / 1e9).toPrecision(3)} GFLOP each`,
  );
  output.pairs([
    ["classifier", `${(parameters / 1e6).toFixed(1)} M parameters`],
    ...Object.entries(memory).map(([kind, bytes]): [string, string] => [kind, formatBytes(bytes)]),
  ]);
}
