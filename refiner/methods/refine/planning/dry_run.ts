import { type Device, PlanningDevice } from "../../../../engine/index.ts";
import { countParameters, VisionTransformer, type VitConfig, vitParameters } from "../../../../models/index.ts";
import { checkRanks, oneRank, ownerOf } from "../../../exchange/exchange.ts";
import { HostArena } from "../../../training/offload/host_arena.ts";
import { fixedPart } from "../../fixed_parts.ts";
import { checkOffload, checkRecomputed } from "../check_refinement.ts";
import type { RefineConfig } from "../refine_config.ts";
import { decodedSide } from "../refine_views.ts";
import { RefinerModel } from "../refiner_model.ts";
import { Stage } from "../stage.ts";
import { planStage, type StageNumber } from "../stage_plan.ts";
import { predictedSeconds } from "./planned_work.ts";
import { type RankPlan, rankPlan } from "./rank_plan.ts";

/** Bytes of a planned stage by kind. */
export interface PlannedMemory {
  /** Encoder and heads, with running statistics; of the encoder, what products need where its parameters lie on the host. */
  readonly weights: number;
  /** With the partial sums of a reproducible run. */
  readonly gradients: number;
  /** Both moments of AdamW. */
  readonly moments: number;
  /** Moving average of the encoder. */
  readonly average: number;
  readonly queues: number;
  /** Pooled features of a batch in micro-batches, or their gradients in the same place. */
  readonly features: number;
  /** Arenas of the recorded programs: activations. */
  readonly activations: number;
  /** What state on the host passes through. */
  readonly staging: number;
  /** Images and scalars on their way to the device. */
  readonly inputs: number;
  readonly total: number;
}

/** What a stage would take. */
export interface DryRun {
  readonly stage: StageNumber;
  readonly encoderParameters: number;
  readonly headParameters: number;
  readonly memory: PlannedMemory;
  /** State that lies in host memory. */
  readonly hostBytes: number;
  /** Floating-point operations of one update. */
  readonly flopsPerUpdate: number;
  /** Kernel launches of one update. */
  readonly dispatchesPerUpdate: number;
  /** Bytes that pass between host and device in one update because of state on the host, both ways together. */
  readonly streamedBytesPerUpdate: number;
  /** Of one update, at `assumedRates`. */
  readonly predictedSeconds: number;
  readonly updates: number;
  readonly microBatch: number;
  /** With several ranks, of which all other numbers are those of the first, which has most to do. */
  readonly exchange?: RankPlan;
}

/** How many processes share the work, and by what they are connected. */
export interface PlannedRanks {
  readonly ranks: number;
  /** Bytes per second of each, both ways. */
  readonly bytesPerSecond?: number | undefined;
}

/**
 * A device to plan for when a memory is given: this one, whose limits hold for what a run may do, or in the place of a software
 * adapter, on which nobody would train that, one with the limits of current GPUs, and f16.
 */
export function gpuPlanningDevice(device: Device): PlanningDevice {
  if (!device.isSoftware) return new PlanningDevice(device, device.limits);
  return new PlanningDevice(device, { maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 32 }, [
    "shader-f16",
  ]);
}

/**
 * Plans a stage without allocating what it plans.
 *
 * @param images - size of the data set
 * @throws OverLimitError if a tensor is over the limits, OptionError
 */
export function dryRun(
  device: Device,
  vit: VitConfig,
  config: RefineConfig,
  images: number,
  stage: StageNumber,
  { ranks, bytesPerSecond }: PlannedRanks = { ranks: 1 },
): DryRun {
  checkOffload(config);
  checkRecomputed(config, vit.blocks);
  checkRanks("refine", config.batch, ranks);
  fixedPart("refine", config, { ranks });
  const encoder = new VisionTransformer(device, vit);
  const { projectorWidth, predictorWidth, outputWidth, queueLength } = config;
  const head = { inputWidth: vit.width, projectorWidth, predictorWidth, outputWidth, queueLength };
  const model = new RefinerModel(encoder, {
    ...{ placements: config.heads, pooling: config.pooling, head },
    owned: (place) => ownerOf(place, config.heads.length, ranks) === 0,
  });
  const deviceAverage = encoder.parameters.like("ema");
  const offloads = (what: RefineConfig["offload"][number]): boolean => config.offload.includes(what);
  const average = offloads("average") ? new HostArena(deviceAverage, "ema") : deviceAverage;
  const side = decodedSide(config, vit);
  const plan = planStage(config, stage, images);
  const run = new Stage(model, config, plan, 2 * side * side * vit.channels, average, undefined, {
    ...oneRank,
    size: ranks,
  });
  const work = run.plannedWork;
  const trained = run.heads.gradients.sizeBytes + (run.encoder?.optimizer.gradients.sizeBytes ?? 0);
  const masters = run.weights?.masters.sizeBytes ?? 0;
  const encoderBytes = run.weights?.sizeBytes ?? encoder.parameters.sizeBytes;
  const weights = encoderBytes + model.headParameters.sizeBytes + model.headStatistics.sizeBytes;
  const queues = model.heads.reduce((sum, { queue }) => sum + queue.entries.sizeBytes + 3 * 4 * queue.length, 0);
  const parts = {
    weights,
    gradients: trained + work.partialSumBytes,
    moments: offloads("moments") ? 0 : 2 * trained,
    average: offloads("average") ? 0 : average.sizeBytes,
    queues,
    features: work.featureBytes,
    activations: work.arenaBytes,
    inputs: work.inputBytes,
    staging: work.stagingBytes,
  };
  const hostBytes = (offloads("moments") ? 2 * trained : 0) + (offloads("average") ? average.sizeBytes : 0) + masters;
  return {
    stage,
    encoderParameters: countParameters(vitParameters(vit)),
    headParameters: countParameters(model.headParameters.entries),
    memory: { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) },
    hostBytes,
    flopsPerUpdate: work.flops,
    dispatchesPerUpdate: work.dispatches,
    streamedBytesPerUpdate: 2 * work.streamedBytes,
    predictedSeconds: predictedSeconds(work),
    updates: plan.updates,
    microBatch: run.part,
    ...(ranks > 1 ? { exchange: rankPlan(run, ranks, bytesPerSecond) } : {}),
  };
}
