import { type Device, OverLimitError, trialAllocation } from "../../engine/index.ts";
import type { VitConfig } from "../../models/index.ts";
import type { FewUpdatesAdvice } from "../../refiner/index.ts";
import { withinLimits } from "../../refiner/methods/plan_limits.ts";
import {
  type DryRun,
  dryRun,
  gpuPlanningDevice,
  type PlannedRanks,
} from "../../refiner/methods/refine/planning/dry_run.ts";
import { fittingChanges } from "../../refiner/methods/refine/planning/fitting_changes.ts";
import type { FittingChange } from "../../refiner/methods/refine/planning/plan_search.ts";
import { assumedRates } from "../../refiner/methods/refine/planning/planned_work.ts";
import type { RankPlan } from "../../refiner/methods/refine/planning/rank_plan.ts";
import type { RefineConfig } from "../../refiner/methods/refine/refine_config.ts";
import { formatBytes, type Output } from "../output/streams.ts";

/** What to plan. */
export interface PlannedRun {
  readonly device: Device;
  readonly vit: VitConfig;
  readonly config: RefineConfig;
  readonly images: number;
  /** Memory to fit into; undefined: the limits of the device, and a trial allocation. */
  readonly memoryBytes: number | undefined;
  readonly advice: FewUpdatesAdvice | undefined;
  /** Default: one. */
  readonly shared?: PlannedRanks;
}

/** Prints what both stages of a run would take, and what would make stage 3 fit into the memory there is. */
export async function printDryRun(run: PlannedRun, output: Output): Promise<void> {
  const { vit, config, images, advice, shared } = run;
  const { plans, fits, room, text } = await trial(run);
  for (const plan of plans) printPlan(plan, output);
  output.line(text);
  const changes = fits || shared ? [] : fittingChanges(planningDevice(run), vit, config, images, room);
  if (!fits && shared)
    output.line("what would fit is told of one process: leave --ranks out, or use smaller micro-batches");
  else if (!fits) output.line("what would fit, cheapest first:");
  for (const change of changes) printChange(change, output);
  const [cheapest] = changes;
  if (cheapest) {
    output.line("the first of them:");
    printPlan(cheapest.plan, output);
  }
  const memory = Number.isFinite(room) ? { memory: room } : {};
  output.result({ plans, ...memory, fits, changes, ...(advice ? { fewUpdates: advice } : {}) });
}

/** Whether a run fits. */
interface Trial {
  readonly plans: readonly DryRun[];
  readonly fits: boolean;
  /** Bytes that there are, as far as that is known; else infinite. */
  readonly room: number;
  readonly text: string;
}

async function trial(run: PlannedRun): Promise<Trial> {
  const { device, memoryBytes } = run;
  try {
    const plans = plansOn(planningDevice(run), run);
    const needed = Math.max(0, ...plans.map(({ memory }) => memory.total));
    const room = memoryBytes ?? (await trialAllocation(device, needed));
    return { plans, fits: needed <= room, room, text: verdict(run, needed, room) };
  } catch (error) {
    if (!(error instanceof OverLimitError)) throw error;
    const plans = memoryBytes === undefined ? withinLimits(() => plansOn(gpuPlanningDevice(device), run)) : undefined;
    const isOther = memoryBytes !== undefined && device.isSoftware;
    const where = isOther ? "common GPUs (2 GiB per binding)" : device.info.name;
    const text = `over the limits of ${where}: ${error.message}`;
    return { plans: plans ?? [], fits: false, room: memoryBytes ?? Number.POSITIVE_INFINITY, text };
  }
}

/** Where the memory is given, the plan is for a device that may not be this one. */
function planningDevice({ device, memoryBytes }: PlannedRun): Device {
  return memoryBytes === undefined ? device : gpuPlanningDevice(device);
}

function plansOn(device: Device, { vit, config, images, shared }: PlannedRun): DryRun[] {
  return ([2, 3] as const)
    .filter((stage) => (stage === 2 ? config.stage2Epochs : config.stage3Epochs) > 0)
    .map((stage) => dryRun(device, vit, config, images, stage, shared));
}

function verdict({ device, memoryBytes }: PlannedRun, needed: number, room: number): string {
  if (memoryBytes !== undefined)
    return `${needed <= room ? "fits" : "does not fit"} into ${formatBytes(memoryBytes)} (stage that needs most: ${formatBytes(needed)})`;
  const trial =
    room >= needed
      ? `a trial allocation of ${formatBytes(needed)} on ${device.info.name} succeeded`
      : `a trial allocation of ${formatBytes(needed)} on ${device.info.name} failed after ${formatBytes(room)}`;
  return `within the limits; ${trial}. WebGPU tells no memory size, and allocation may succeed beyond it: give --memory to be sure`;
}

function printChange({ change, plan, relativeFlops }: FittingChange, output: Output): void {
  const settings = Object.entries(change).map(([key, value]) => `${key}=${String(value)}`);
  output.line(
    `  ${settings.join(" ")}: ${formatBytes(plan.memory.total)}, ${relativeFlops.toFixed(2)} times the work per update, ${formatSeconds(plan.predictedSeconds)}`,
  );
}

function formatFlops(flops: number): string {
  return flops >= 1e12 ? `${(flops / 1e12).toFixed(1)} TFLOP` : `${(flops / 1e9).toFixed(flops < 1e10 ? 2 : 0)} GFLOP`;
}

function formatSeconds(seconds: number): string {
  return `${seconds.toPrecision(3)} s`;
}

/** What state on the host adds to an update, in percent of it. */
function busShare({ streamedBytesPerUpdate, predictedSeconds }: DryRun): string {
  const seconds = streamedBytesPerUpdate / assumedRates.busBytesPerSecond;
  return ((100 * seconds) / (predictedSeconds - seconds)).toFixed(1);
}

function printPlan(plan: DryRun, output: Output): void {
  const { memory } = plan;
  output.line(
    `stage ${plan.stage}: ${plan.updates} updates in micro-batches of ${plan.microBatch}, ${formatFlops(plan.flopsPerUpdate)} each`,
  );
  output.pairs([
    ["encoder", `${(plan.encoderParameters / 1e6).toFixed(1)} M parameters`],
    ["heads", `${(plan.headParameters / 1e6).toFixed(1)} M parameters`],
    ...Object.entries(memory).map(([kind, bytes]): [string, string] => [kind, formatBytes(bytes)]),
    ...(plan.hostBytes > 0 ? [["on the host", formatBytes(plan.hostBytes)] satisfies [string, string]] : []),
  ]);
  const { flopsPerSecond, busBytesPerSecond } = assumedRates;
  const moves = `, to and from the host ${formatBytes(plan.streamedBytesPerUpdate)} (${busShare(plan)} % more time)`;
  output.line(
    `predicted at ${flopsPerSecond / 1e12} TFLOP/s and ${busBytesPerSecond / 1e9} GB/s: ${formatSeconds(plan.predictedSeconds)} per update${plan.hostBytes > 0 ? moves : ""}`,
  );
  if (plan.exchange) printExchange(plan.exchange, output);
}

function printExchange({ ranks, gradientBytes, featureBytes, expected }: RankPlan, output: Output): void {
  output.line(
    `on ${ranks} ranks, of which the first is planned: it sends ${formatBytes(gradientBytes + featureBytes)} per update, ${formatBytes(gradientBytes)} of gradients and ${formatBytes(featureBytes)} of features`,
  );
  if (!expected) {
    output.line("give --bandwidth, such as 100Gb/s, for the time and the efficiency");
    return;
  }
  const { secondsPerUpdate, secondsAlone, efficiency, mostUseful } = expected;
  output.line(
    `predicted with ${(expected.bytesPerSecond * 8) / 1e9} Gb/s each: ${formatSeconds(secondsPerUpdate)} per update, of one process in micro-batches ${formatSeconds(secondsAlone)}: efficiency ${(100 * efficiency).toFixed(0)} %`,
  );
  output.line(
    mostUseful === undefined
      ? "more ranks help as far as the batch can be halved"
      : `more than ${mostUseful} ranks do not help: twice as many shorten an update by less than a tenth`,
  );
}
