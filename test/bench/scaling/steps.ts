import { type Device, hostNormal, type RecordedProgram, stepScalars, type Tensor } from "../../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../models/index.ts";
import { RefinerModel } from "../../../refiner/methods/refine/refiner_model.ts";
import { recordStep } from "../../../refiner/methods/refine/step.ts";
import { ArenaOptimizer } from "../../../refiner/training/optimizer.ts";

/** Sizes of an update of stage 3. */
export interface StepSizes {
  readonly batch: number;
  /** Patches of an image; a multiple of 8. */
  readonly tokens: number;
  readonly width: number;
  readonly depth: number;
  readonly queueLength: number;
  /** Contrastive heads; at most `depth` of them. */
  readonly heads: number;
}

/** A size that is doubled, with the growth that the arithmetic allows. */
export interface Axis {
  readonly name: string;
  /** Smallest size. */
  readonly first: number;
  readonly at: (size: number) => StepSizes;
  readonly mostTime: number;
  readonly mostMemory: number;
  readonly reason: string;
}

const base: StepSizes = { batch: 4, tokens: 32, width: 64, depth: 2, queueLength: 512, heads: 1 };
const linear = { mostTime: 1, mostMemory: 1, reason: "linear" };

/** The other sizes are small enough that the one that grows matters, and large enough that launches do not. */
export const axes: readonly Axis[] = [
  { ...linear, name: "batch", first: 4, at: (batch) => ({ ...base, batch }) },
  {
    name: "tokens",
    first: 32,
    at: (tokens) => ({ ...base, tokens }),
    mostTime: 2,
    mostMemory: 1,
    reason: "attention meets all pairs but stores none",
  },
  {
    name: "width",
    first: 32,
    at: (width) => ({ ...base, width }),
    mostTime: 2,
    mostMemory: 2,
    reason: "weights are width × width",
  },
  { ...linear, name: "depth", first: 1, at: (depth) => ({ ...base, depth }) },
  { ...linear, name: "queue length", first: 16384, at: (queueLength) => ({ ...base, depth: 1, queueLength }) },
  { ...linear, name: "heads", first: 1, at: (heads) => ({ ...base, depth: 8, heads, queueLength: 4096 }) },
];

const patchPixels = 4;
const rowsOfPatches = 8;
const headDim = 32;

/** Records an update of encoder and heads on two global views per image. */
export function recordSize(
  device: Device,
  { batch, tokens, width, depth, queueLength, heads }: StepSizes,
): { recorded: RecordedProgram<Record<string, Tensor>>; inputs: Record<string, ArrayLike<number>> } {
  const config = vitConfig({
    patchPixels,
    width,
    blocks: depth,
    heads: width / headDim,
    heightPixels: rowsOfPatches * patchPixels,
    widthPixels: (tokens / rowsOfPatches) * patchPixels,
  });
  const encoder = new VisionTransformer(device, config);
  initializeParameters(encoder.parameters, vitParameters(config), 0);
  const head = { inputWidth: width, projectorWidth: 128, predictorWidth: 256, outputWidth: 64, queueLength };
  const placements = [...Array.from({ length: heads - 1 }, (_, i) => depth - heads + i), "last" as const];
  const model = new RefinerModel(encoder, { placements, head, pooling: "cls" });
  const entries = hostNormal(queueLength * head.outputWidth, { seed: 1, purpose: "queue" });
  for (const { queue } of model.heads) queue.initialize(entries);
  for (const chunk of model.headParameters.chunks) {
    const values = hostNormal(chunk.size, { seed: 2, purpose: "heads" });
    device.write(
      chunk,
      values.map((value) => 0.05 * value),
    );
  }
  const globalViews = 2;
  const images = device.zeros([globalViews * batch, config.channels, config.heightPixels, config.widthPixels]);
  const recorded = recordStep({
    model,
    views: () => [images],
    heads: new ArenaOptimizer(model.headParameters, { weightDecay: 0 }),
    encoder: { optimizer: new ArenaOptimizer(encoder.parameters, { weightDecay: 0.05 }) },
    loss: {
      layout: { batch, globalViews, localViews: 0, localIndexing: "stated" },
      temperature: 0.2,
      topK: 20,
      swap: "positives",
      oracle: false,
      seed: 0,
    },
  });
  const scalars = stepScalars({ learningRate: 1e-4, step: 1, beta1: 0.9, beta2: 0.95 });
  const ids = Int32Array.from({ length: batch }, (_, i) => i);
  const all = { samples: ids, classes: ids, update: new Uint32Array(1), headScalars: scalars, encoderScalars: scalars };
  const inputs = Object.fromEntries(Object.entries(all).filter(([name]) => recorded.program.inputs.has(name)));
  return { recorded, inputs };
}
