import { type Device, type RecordedProgram, recordProgram, stepScalars, type Tensor } from "../../../engine/index.ts";
import {
  initializeParameters,
  type Precision,
  VisionTransformer,
  type VitPreset,
  vitConfig,
  vitParameters,
} from "../../../models/index.ts";
import { LossScaling } from "../../training/loss_scaling.ts";
import { ArenaOptimizer } from "../../training/optimizer.ts";
import { headLayers } from "./head.ts";
import { RefinerModel } from "./refiner_model.ts";
import { recordStep } from "./step.ts";

/** `forward`: tokens of images; `train`: their gradient and AdamW; `refine`: one update of stage 3. */
export const benchSteps = ["forward", "train", "refine"] as const;
export type BenchStep = (typeof benchSteps)[number];

export interface BenchStepOptions {
  readonly model: VitPreset;
  /** Images; a refine step takes two global and ten local views of each, as published. */
  readonly batch: number;
  readonly step: BenchStep;
  /** Global views have the side length 224, local ones 96 (arXiv 2402.10093, appendix B). Less for a quick look. */
  readonly localViews?: number;
  /** Queue entries of each of the four heads in a refine step. Default 65536, as published. */
  readonly queueLength?: number;
  /** Of the encoder. Default f32. */
  readonly precision?: Precision;
}

/** A whole step with everything it needs, ready to run. */
export interface BenchProgram {
  readonly recorded: RecordedProgram<Record<string, Tensor>>;
  readonly inputs: Readonly<Record<string, ArrayLike<number>>>;
  /** Bytes that the fused form cannot do without; see {@link minimumBytes}. */
  readonly minimumBytes: number;
}

const localPixels = 96;

/**
 * Records a step on random weights and images of zeros: times depend on sizes alone.
 *
 * @throws MissingFeatureError for f16 on a device without it
 */
export function recordBenchStep(device: Device, options: BenchStepOptions): BenchProgram {
  const { model, batch, step, precision = "f32" } = options;
  const config = vitConfig(model);
  const vit = new VisionTransformer(device, config);
  initializeParameters(vit.parameters, vitParameters(config), 0);
  const image = (count: number, pixels: number): Tensor =>
    device.zeros([count, config.channels, pixels, pixels], "f32", "images");
  if (step === "refine") return refineStep(vit, image, options);
  const images = image(batch, config.heightPixels);
  if (step === "forward") {
    const recorded = recordProgram(device, () => ({ tokens: vit.forward(images, { precision }).rows }), {
      name: "forward",
      inference: true,
    });
    return { recorded, inputs: {}, minimumBytes: minimumBytes(vit, [images], false, precision) };
  }
  const optimizer = new ArenaOptimizer(vit.parameters, { weightDecay: 0.05 });
  const recorded = recordProgram<Record<string, Tensor>>(
    device,
    (program) => {
      const { rows } = vit.forward(images, { precision });
      const seed = device.zeros(rows.shape, rows.dtype, "gradient of the tokens");
      const targets = optimizer.trained.map((name) => vit.parameters.get(name));
      optimizer.assign(program, program.pullBack([{ output: rows, gradient: seed }], targets));
      optimizer.step(program, program.input("scalars", [12]));
      return {};
    },
    { name: "train" },
  );
  return { recorded, inputs: { scalars: scalars() }, minimumBytes: minimumBytes(vit, [images], true, precision) };
}

function scalars(): Float32Array {
  return stepScalars({ learningRate: 1e-4, step: 1, beta1: 0.9, beta2: 0.95 });
}

/** Different numbers in [-0.5, 0.5): of equal similarities a search would meet only ties. */
function spread(count: number): Float32Array {
  const golden = 0.618034; // its multiples fill the unit interval evenly
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = ((i * golden) % 1) - 0.5;
  return values;
}

function refineStep(
  vit: VisionTransformer,
  image: (count: number, pixels: number) => Tensor,
  { batch, localViews = 10, queueLength = 65536, precision = "f32" }: BenchStepOptions,
): BenchProgram {
  const { device } = vit;
  const { blocks, width, heightPixels } = vit.config;
  const head = { inputWidth: width, projectorWidth: 2048, predictorWidth: 4096, outputWidth: 256, queueLength };
  const placements = [blocks - 4, blocks - 3, blocks - 2, "last"] as const;
  const model = new RefinerModel(vit, { placements, head, pooling: "cls" });
  const entries = spread(queueLength * head.outputWidth);
  for (const { queue } of model.heads) queue.initialize(entries);
  for (const chunk of model.headParameters.chunks) device.write(chunk, spread(chunk.size));
  const globalViews = 2;
  const views = [
    image(globalViews * batch, heightPixels),
    ...(localViews > 0 ? [image(localViews * batch, localPixels)] : []),
  ];
  const lossScaling = precision === "f16" ? new LossScaling(device) : undefined;
  lossScaling?.reset({ beta1: 0.9, beta2: 0.95 });
  const recorded = recordStep({
    model,
    precision,
    views: () => views,
    heads: new ArenaOptimizer(model.headParameters, { weightDecay: 1e-5 }),
    encoder: {
      optimizer: new ArenaOptimizer(vit.parameters, { weightDecay: 0.05 }),
      average: vit.parameters.like("average"),
      ...(lossScaling ? { lossScaling } : {}),
    },
    loss: {
      layout: { batch, globalViews, localViews, localIndexing: "stated" },
      temperature: 0.2,
      topK: 20,
      swap: "positives",
      oracle: false,
      seed: 0,
    },
  });
  const ids = Int32Array.from({ length: batch }, (_, i) => i);
  const inputs = {
    samples: ids,
    classes: ids,
    update: new Uint32Array(1),
    headScalars: scalars(),
    encoderScalars: scalars(),
  };
  const known = Object.fromEntries(Object.entries(inputs).filter(([name]) => recorded.program.inputs.has(name)));
  return {
    recorded,
    inputs: known,
    minimumBytes: minimumBytes(vit, views, true, precision) + minimumHeadBytes(model, views, globalViews * batch),
  };
}

/**
 * Bytes that an encoder's step must move if every kernel reads each operand once and writes each result once and the fusions are
 * those of a block: norm and linear layer, bias, GELU, residual sums, attention without a matrix of scores. In units of one
 * row of the width D: forward 22 (qkv 1 + 3, attention 3 + 1, projection 1 + 1 + 1, norm and first MLP layer 1 + 4, second
 * 4 + 1 + 1 and one more for the statistics' pass over x), with 4 more to keep the pre-activation, backward 56 (each product
 * reads its two operands, attention reads qkv and dy twice). Weights are read forward and backward, their gradients written once,
 * and AdamW reads four and writes three arrays; all of that in f32, while rows may be f16.
 */
export function minimumBytes(
  vit: VisionTransformer,
  images: readonly Tensor[],
  trains: boolean,
  precision: Precision = "f32",
): number {
  const { blocks, width, patchPixels, classTokens } = vit.config;
  const rows = images.reduce((sum, { shape }) => {
    const [count = 0, , height = 0, across = 0] = shape;
    return sum + count * ((height / patchPixels) * (across / patchPixels) + classTokens);
  }, 0);
  const pixels = images.reduce((sum, { size }) => sum + size, 0);
  const perRow = trains ? 22 + 4 + 56 : 22;
  const parameters = vit.parameters.sizeBytes;
  const elementBytes = precision === "f16" ? 2 : 4;
  const embedding = 4 * pixels + elementBytes * (2 * pixels + 4 * rows * width); // pixels to patches, patches to rows, rows with positions
  return elementBytes * rows * width * perRow * blocks + embedding + parameters * (trains ? 2 + 1 + 7 : 1);
}

/**
 * The same for the heads of a refine step, in f32: each layer reads its rows and writes its product, its batch norm reads and writes
 * that; backward the norm reads two and writes one, and the products for the rows' and for the weights' gradient read two operands
 * each, the first of them writing the gradient of the rows. Weights move as the encoder's do. The search reads the queue once.
 */
function minimumHeadBytes(model: RefinerModel, views: readonly Tensor[], globalRows: number): number {
  const rows = views.reduce((sum, { shape: [count = 0] }) => sum + count, 0);
  const perHead = model.heads.map(({ config, queue }) => {
    const { projector, predictor } = headLayers(config);
    const perRow = [...projector, ...predictor].reduce(
      (sum, { inputs, outputs }) => sum + (inputs + outputs) + 2 * outputs + 3 * outputs + 2 * (inputs + outputs),
      0,
    );
    return 4 * (rows * perRow + globalRows * config.outputWidth + queue.length * config.outputWidth);
  });
  return perHead.reduce((sum, bytes) => sum + bytes, 0) + model.headParameters.sizeBytes * (2 + 1 + 7);
}
