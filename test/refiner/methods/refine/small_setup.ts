import { type Device, hostNormal, stepScalars } from "../../../../engine/index.ts";
import {
  initializeParameters,
  type Pooling,
  type Precision,
  VisionTransformer,
  vitConfig,
  vitParameters,
} from "../../../../models/index.ts";
import { type HeadPlacement, RefinerModel } from "../../../../refiner/methods/refine/refiner_model.ts";
import type { LossOptions, StepSetup } from "../../../../refiner/methods/refine/step.ts";
import { Teacher } from "../../../../refiner/methods/refine/teacher.ts";
import { LossScaling } from "../../../../refiner/training/loss_scaling.ts";
import { ArenaOptimizer } from "../../../../refiner/training/optimizer.ts";

/** Images, tokens and layers as few as exercise every part of a step. */
const channels = 3;
const globalPixels = 16;
const localPixels = 8;
const width = 32;
const blocks = 3;
/** Samples of the data set: an epoch has a few updates, so own samples stand in the queue and exclusion matters. */
const samples = 150;

export interface SmallOptions {
  readonly batch: number;
  readonly globalViews?: number;
  readonly localViews?: number;
  readonly loss?: Partial<LossOptions>;
  readonly placements?: readonly HeadPlacement[];
  readonly pooling?: Pooling;
  /** Default 128. */
  readonly queueLength?: number;
  /** Undefined: no teacher. */
  readonly teacherFactor?: number;
  readonly trainsEncoder?: boolean;
  /** Blocks that stay frozen, with the embedding. */
  readonly frozenBlocks?: number;
  readonly recompute?: boolean | readonly number[];
  /** Default f32. */
  readonly precision?: Precision;
  /** Factor on the gradients at the start, with f16. */
  readonly lossScale?: number;
}

/** A small refinement with random weights, and images that are noise over a colour of their own; equal options give equal values. */
export interface SmallTraining {
  readonly setup: StepSetup;
  /** Inputs of the views of some images of an update's batch. */
  parts(update: number, first: number, count: number): Record<string, Float32Array>;
  /** The other inputs of an update. */
  batch(update: number): Record<string, ArrayLike<number>>;
}

export async function smallTraining(device: Device, options: SmallOptions): Promise<SmallTraining> {
  const { batch, globalViews = 2, localViews = 2, trainsEncoder = true, frozenBlocks = 0 } = options;
  const config = vitConfig({
    patchPixels: 4,
    width,
    blocks,
    heads: 2,
    mlpWidth: 2 * width,
    heightPixels: globalPixels,
    widthPixels: globalPixels,
  });
  const vit = new VisionTransformer(device, config);
  initializeParameters(vit.parameters, vitParameters(config), 1);
  vit.writeSincosPositions();
  const model = new RefinerModel(vit, {
    placements: options.placements ?? [0, 1, "last"],
    pooling: options.pooling ?? "cls",
    head: {
      inputWidth: width,
      projectorWidth: 64,
      predictorWidth: 64,
      outputWidth: 32,
      queueLength: options.queueLength ?? 128,
    },
  });
  model.initializeHeads(2);
  const lossScaling = options.precision === "f16" ? new LossScaling(device) : undefined;
  const { lossScale: scale } = options;
  lossScaling?.reset({ beta1: 0.9, beta2: 0.95, ...(scale === undefined ? {} : { scale }) });
  const encoder = {
    ...(lossScaling ? { lossScaling } : {}),
    optimizer: new ArenaOptimizer(vit.parameters, {
      weightDecay: 0.05,
      scaleOf: (name) => (frozenBlocks > 0 && vit.depthOf(name) <= frozenBlocks ? 0 : 1),
    }),
    average: vit.parameters.like("ema"),
  };
  const teacher =
    options.teacherFactor === undefined
      ? undefined
      : new Teacher(model, { factor: options.teacherFactor, trainsEncoder });
  await teacher?.reset();
  const colours = hostNormal(samples * channels, { seed: 4, purpose: "colour" });
  const indicesOf = (update: number): Int32Array =>
    Int32Array.from({ length: batch }, (_, b) => (update * batch + b) % samples);
  const views = [
    { name: "global", count: globalViews, pixels: globalPixels },
    { name: "local", count: localViews, pixels: localPixels },
  ].filter(({ count }) => count > 0);
  const setup: StepSetup = {
    model,
    views: (program, images) =>
      views.map(({ name, count, pixels }) => program.input(name, [count * images, channels, pixels, pixels])),
    heads: new ArenaOptimizer(model.headParameters, { weightDecay: 1e-5 }),
    loss: {
      layout: { batch, globalViews, localViews, localIndexing: "stated" },
      temperature: 0.2,
      topK: 1,
      swap: "positives",
      oracle: false,
      seed: 3,
      ...options.loss,
    },
    ...(trainsEncoder ? { encoder } : {}),
    ...(teacher ? { teacher } : {}),
    ...(options.recompute ? { recompute: options.recompute } : {}),
    ...(options.precision ? { precision: options.precision } : {}),
  };
  const drawn = (update: number): ReadonlyMap<string, Float32Array> =>
    new Map(
      views.map(({ name, count, pixels }) => {
        const size = channels * pixels * pixels;
        const indices = indicesOf(update);
        const values = hostNormal(count * batch * size, { seed: 4, purpose: name, step: update }).map((value, at) => {
          const sample = indices[Math.floor(at / size) % batch] ?? 0;
          return 0.5 * value + (colours[sample * channels + (Math.floor(at / (pixels * pixels)) % channels)] ?? 0);
        });
        return [name, values];
      }),
    );
  /** The views of one update: each of its parts takes some, and drawing them takes longer than the update itself. */
  let last = { update: 0, values: drawn(0) };
  return {
    setup,
    parts: (update, first, count) => {
      if (last.update !== update) last = { update, values: drawn(update) };
      return Object.fromEntries(
        views.map(({ name, count: viewCount, pixels }) => {
          const size = channels * pixels * pixels;
          const whole = last.values.get(name) ?? new Float32Array(0);
          const rows = Array.from({ length: viewCount }, (_, v) =>
            whole.subarray((v * batch + first) * size, (v * batch + first + count) * size),
          );
          return [name, joined(rows)];
        }),
      );
    },
    batch: (update) => {
      const adam = { step: update + 1, beta1: 0.9, beta2: 0.95, epsilon: 1e-4 };
      const indices = indicesOf(update);
      return {
        samples: indices,
        classes: indices.map((index) => index % 5),
        headScalars: stepScalars({ ...adam, learningRate: 1e-3 }),
        ...(trainsEncoder ? { encoderScalars: stepScalars({ ...adam, learningRate: 5e-4, averageFactor: 0.9 }) } : {}),
        ...(setup.loss.topK > 1 ? { update: Uint32Array.of(update) } : {}),
      };
    },
  };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
