import { type Device, OptionError, PlanningDevice } from "../../../engine/index.ts";
import { countParameters, VisionTransformer, type VitConfig, vitParameters } from "../../../models/index.ts";
import { withinLimits } from "../plan_limits.ts";
import type { RefineConfig } from "./refine_config.ts";
import { decodedSide } from "./refine_views.ts";
import { RefinerModel } from "./refiner_model.ts";
import { planStage, Stage, type StageNumber } from "./stage.ts";

/** Bytes of a planned stage by kind. */
export interface PlannedMemory {
  /** Encoder and heads, with running statistics. */
  readonly weights: number;
  readonly gradients: number;
  /** Both moments of AdamW. */
  readonly moments: number;
  /** Moving average of the encoder. */
  readonly average: number;
  readonly queues: number;
  /** Pooled features of a batch in micro-batches, and their gradients. */
  readonly features: number;
  /** Arenas of the recorded programs: activations. */
  readonly activations: number;
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
  /** Floating-point operations of one update. */
  readonly flopsPerUpdate: number;
  readonly updates: number;
  readonly microBatch: number;
}

/** A change that makes a plan fit, with the plan that it leads to. */
export interface FittingChange {
  readonly change: Partial<RefineConfig>;
  readonly plan: DryRun;
  /** Work per update relative to the configuration as it is. */
  readonly relativeFlops: number;
}

/** A device to plan for when the memory of another one is given: with the limits of current GPUs, and f16. */
export function gpuPlanningDevice(device: Device): PlanningDevice {
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
): DryRun {
  const encoder = new VisionTransformer(device, vit);
  const { projectorWidth, predictorWidth, outputWidth, queueLength } = config;
  const head = { inputWidth: vit.width, projectorWidth, predictorWidth, outputWidth, queueLength };
  const model = new RefinerModel(encoder, { placements: config.heads, pooling: config.pooling, head });
  const average = encoder.parameters.like("ema");
  const side = decodedSide(config, vit);
  const plan = planStage(config, stage, images);
  const run = new Stage(model, config, plan, 2 * side * side * vit.channels, average);
  const { arenaBytes, inputBytes, featureBytes, flops } = run.plannedWork;
  const trained = model.headParameters.sizeBytes + (stage === 3 ? encoder.parameters.sizeBytes : 0);
  const weights = encoder.parameters.sizeBytes + model.headParameters.sizeBytes + model.headStatistics.sizeBytes;
  const queues = model.heads.reduce((sum, { queue }) => sum + queue.entries.sizeBytes + 3 * 4 * queue.length, 0);
  const parts = {
    weights,
    gradients: trained,
    moments: 2 * trained,
    average: average.sizeBytes,
    queues,
    features: featureBytes,
    activations: arenaBytes,
    inputs: inputBytes,
  };
  return {
    stage,
    encoderParameters: countParameters(vitParameters(vit)),
    headParameters: countParameters(model.headParameters.entries),
    memory: { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) },
    flopsPerUpdate: flops,
    updates: plan.updates,
    microBatch: config.microBatch > 0 ? Math.min(config.microBatch, config.batch) : config.batch,
  };
}

/**
 * The cheapest changes that make stage 3 fit into `memoryBytes`: the largest micro-batch that does, with blocks recomputed where
 * none does; beside it the largest one in f16. Only where neither fits: fewer heads, fewer blocks trained, no local views. Each is
 * planned, not estimated.
 *
 * @returns exact ones first, then f16, then those that change the method; the least work first
 * @throws OptionError if nothing helps, with the least that would be needed
 */
export function fittingChanges(
  device: Device,
  vit: VitConfig,
  config: RefineConfig,
  images: number,
  memoryBytes: number,
): FittingChange[] {
  const planOf = (change: Partial<RefineConfig>): DryRun | undefined =>
    withinLimits(() => dryRun(device, vit, { ...config, ...change }, images, 3));
  const found: FittingChange[] = [];
  let least = Number.POSITIVE_INFINITY;
  const whole = referenceFlops(device, vit, config, images);
  /** Whether the change fits with some micro-batch. */
  const fits = (other: Partial<RefineConfig>): boolean => {
    const bytesOf = (size: number): number => {
      const total = planOf({ ...other, microBatch: size })?.memory.total ?? Number.POSITIVE_INFINITY;
      least = Math.min(least, total);
      return total;
    };
    const microBatch = largestMicroBatch(config.batch, bytesOf, memoryBytes);
    if (microBatch === undefined) return false;
    const change = { ...other, microBatch };
    const plan = planOf(change);
    if (plan) found.push({ change, plan, relativeFlops: plan.flopsPerUpdate / whole });
    return plan !== undefined;
  };
  /** Keeping the inside of blocks where that fits, recomputing it elsewhere. */
  const tryChange = (other: Partial<RefineConfig>): boolean =>
    [other, { ...other, recompute: true }].some((change) => fits(change));
  tryChange({});
  if (config.precision === "f32" && device.features.has("shader-f16")) tryChange({ precision: "f16" });
  // Changes of the method are worth naming only where nothing else helps.
  if (found.length === 0) for (const other of methodChanges(config)) fits(other);
  if (found.length === 0) {
    throw new OptionError(
      `refine: no micro-batch fits into ${memoryBytes} bytes; the least that was planned is ${least} bytes: use a smaller model, fewer heads, a shorter queue or a smaller batch`,
    );
  }
  return found.sort((a, b) => changeKind(a) - changeKind(b) || a.relativeFlops - b.relativeFlops);
}

/** 0 gives the same numbers, 1 rounds them to f16 on the way, 2 is another method. */
function changeKind({ change }: FittingChange): number {
  const others = Object.keys(change).filter((key) => key !== "microBatch" && key !== "recompute");
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

function referenceFlops(device: Device, vit: VitConfig, config: RefineConfig, images: number): number {
  return dryRun(device, vit, { ...config, microBatch: 1 }, images, 3).flopsPerUpdate;
}

/** Largest power of two below the batch whose plan fits, from plans of two sizes: activations grow in proportion to it. */
function largestMicroBatch(batch: number, bytesOf: (size: number) => number, memoryBytes: number): number | undefined {
  const sizes: number[] = [];
  for (let size = 1; size < batch; size *= 2) sizes.push(size);
  const [one, two] = [bytesOf(1), bytesOf(2)];
  if (!(one <= memoryBytes) || one === Number.POSITIVE_INFINITY) return undefined;
  const perImage = Math.max(1, two - one);
  for (const size of sizes.filter((candidate) => one + (candidate - 1) * perImage * 0.9 <= memoryBytes).reverse()) {
    if (bytesOf(size) <= memoryBytes) return size;
  }
  return 1;
}
