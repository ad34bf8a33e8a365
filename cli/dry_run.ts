import type { Device } from "../engine/index.ts";
import type { VitConfig } from "../models/index.ts";
import type { RefineConfig } from "../refiner/config.ts";
import { type DryRun, dryRun, fittingChanges, gpuPlanningDevice } from "../refiner/dry_run.ts";
import { formatBytes, type Output } from "./output.ts";

/** Prints what both stages of a run would take, and what would make stage 3 fit into the given memory. */
export function printDryRun(
  device: Device,
  vit: VitConfig,
  config: RefineConfig,
  images: number,
  memoryBytes: number | undefined,
  output: Output,
): void {
  const planning = memoryBytes === undefined ? device : gpuPlanningDevice(device);
  const stages = [
    ...(config.stage2Epochs > 0 ? ([2] as const) : []),
    ...(config.stage3Epochs > 0 ? ([3] as const) : []),
  ];
  const plans = stages.map((stage) => dryRun(planning, vit, config, images, stage));
  for (const plan of plans) printPlan(plan, output);
  const needed = Math.max(0, ...plans.map(({ memory }) => memory.total));
  if (memoryBytes === undefined) {
    output.line(
      `the limits of ${device.info.name} allow this plan; whether its memory suffices WebGPU does not tell: give --memory`,
    );
    output.result({ plans });
    return;
  }
  const fits = needed <= memoryBytes;
  output.line(
    fits
      ? `fits into ${formatBytes(memoryBytes)}`
      : `does not fit into ${formatBytes(memoryBytes)}; what would, cheapest first:`,
  );
  const changes = fits ? [] : fittingChanges(planning, vit, config, images, memoryBytes);
  for (const { change, plan, relativeFlops } of changes) {
    const settings = Object.entries(change).map(([key, value]) => `${key}=${String(value)}`);
    output.line(
      `  ${settings.join(" ")}: ${formatBytes(plan.memory.total)}, ${relativeFlops.toFixed(2)} times the work per update`,
    );
  }
  output.result({ plans, memory: memoryBytes, fits, changes });
}

function printPlan(plan: DryRun, output: Output): void {
  const { memory } = plan;
  output.line(
    `stage ${plan.stage}: ${plan.updates} updates in micro-batches of ${plan.microBatch}, ${(plan.flopsPerUpdate / 1e12).toFixed(3)} TFLOP each`,
  );
  output.pairs([
    ["encoder", `${(plan.encoderParameters / 1e6).toFixed(1)} M parameters`],
    ["heads", `${(plan.headParameters / 1e6).toFixed(1)} M parameters`],
    ...Object.entries(memory).map(([kind, bytes]): [string, string] => [kind, formatBytes(bytes)]),
  ]);
}
