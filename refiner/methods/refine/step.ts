import {
  OptionError,
  type Program,
  type RecordedProgram,
  recordProgram,
  rows,
  type Tensor,
} from "../../../engine/index.ts";
import {
  type ForwardOptions,
  type Precision,
  poolingTable,
  type VisionTransformer,
  type Weights,
} from "../../../models/index.ts";
import type { GradientTree } from "../../training/gradient_tree.ts";
import type { LossScaling } from "../../training/loss_scaling.ts";
import type { StateArena } from "../../training/offload/streamed_step.ts";
import type { WorkingWeights } from "../../training/offload/working_weights.ts";
import type { ArenaOptimizer } from "../../training/optimizer.ts";
import { chooseRanks } from "./choose_rank.ts";
import type { ViewLayout } from "./contrastive_loss.ts";
import { headMetricNames } from "./contrastive_summary.ts";
import type { HeadForwardOptions, HeadResult, Swap } from "./head.ts";
import type { RefinerModel } from "./refiner_model.ts";
import type { Teacher } from "./teacher.ts";

/** The loss side of a stage. */
export interface LossOptions {
  readonly layout: ViewLayout;
  readonly temperature: number;
  readonly topK: number;
  readonly swap: Swap;
  readonly oracle: boolean;
  /** Seed of the choice among the top-k neighbours. */
  readonly seed: number;
}

/** Where a program's views come from: records them and returns `[V_g · m, C, H, W]`, then `[V_l · m, C, h, w]`. */
export type ViewSource = (program: Program, images: number) => readonly Tensor[];

/** Everything a training step works on. */
export interface StepSetup {
  readonly model: RefinerModel;
  readonly loss: LossOptions;
  readonly views: ViewSource;
  readonly heads: ArenaOptimizer;
  /** Undefined in stage 2, where the encoder is frozen. */
  readonly encoder?: TrainedEncoder;
  /** Moving averages whose projections are looked up and aligned to, instead of the model's own. */
  readonly teacher?: Teacher;
  /** Fixed parts of the batch, where the order of summation is to be one of its own: see `GradientTree`. */
  readonly parts?: StepParts;
  /** Recompute the inside of every encoder block, or of those that are named, in the backward pass instead of keeping it. */
  readonly recompute?: boolean | readonly number[];
  /** What the encoder computes with where its parameters lie on the host. */
  readonly weights?: WorkingWeights | undefined;
  /** Of all encoders; heads and losses are f32 in any case. Default f32. */
  readonly precision?: Precision;
}

export interface StepParts {
  /** Images of a part. */
  readonly size: number;
  /** Where the encoder is trained. */
  readonly tree?: GradientTree;
}

export interface TrainedEncoder {
  readonly optimizer: ArenaOptimizer;
  /** The moving average that is evaluated in the end. */
  readonly average?: StateArena;
  /** Keeps gradients within the range of f16. Heads need none: an overflow skips the update of the encoder alone. */
  readonly lossScaling?: LossScaling;
}

/** Pooled features per head: of all views, `[V · B, D]`, and those that the teacher pools of the global ones, `[V_g · B, D]`. */
export interface BatchFeatures {
  readonly own: readonly Tensor[];
  /** Undefined without a teacher, and for one whose encoder is the model's. */
  readonly taught?: readonly Tensor[];
}

/** One program for the whole step, for batches that fit the device at once. */
export function recordStep(setup: StepSetup): RecordedProgram<{ metrics: Tensor } & Record<string, Tensor>> {
  const { model, loss, encoder } = setup;
  return recordProgram(
    model.device,
    (program) => {
      const weights = weightsIn(program, setup);
      const features = recordFeatures(program, setup, loss.layout.batch, weights);
      const gradients: Tensor[] = [];
      const outputs = stepHeads(program, setup, features, (gradient) => gradients.push(gradient));
      if (!encoder) return outputs;
      const { optimizer } = encoder;
      const targets = optimizer.trained.map((name) => weights.get(name));
      const seeds = features.own.map((output, i) => seeded(output, gradients[i]));
      optimizer.assign(program, program.pullBack(seeds, targets));
      return { ...outputs, ...updateEncoder(program, setup, encoder) };
    },
    { name: "step" },
  );
}

/** Parameters of the encoder as a program reads them. */
export function weightsIn(program: Program, { weights, model }: StepSetup): Weights {
  return weights?.in(program) ?? model.encoder.parameters;
}

/** Records views, encoder and pooling for `images` images. */
export function recordFeatures(
  program: Program,
  setup: StepSetup,
  images: number,
  weights = weightsIn(program, setup),
): BatchFeatures {
  return featuresOf(program, setup, setup.views(program, images), weights);
}

/** Records encoder and pooling for views. */
export function featuresOf(
  program: Program,
  setup: StepSetup,
  views: readonly Tensor[],
  weights = weightsIn(program, setup),
): BatchFeatures {
  const { model, teacher, recompute = false } = setup;
  const own = pooledFeatures(program, setup, model.encoder, views, { recompute, weights });
  return teacher?.encoder
    ? { own, taught: pooledFeatures(program, setup, teacher.encoder, views.slice(0, 1)) }
    : { own };
}

function pooledFeatures(
  program: Program,
  { model, precision = "f32" }: StepSetup,
  encoder: VisionTransformer,
  views: readonly Tensor[],
  how: Pick<ForwardOptions, "recompute" | "weights"> = {},
): Tensor[] {
  const encoded = encoder.forward(views, { taps: model.taps, precision, ...how });
  const { classTokens } = encoder.config;
  return model.pool(encoded, poolingTable(program, encoded.segments, model.config.pooling, classTokens));
}

/**
 * Records everything that couples the batch: all heads with their losses, gradients, optimiser step and queues. Heads share
 * nothing but their features, so each is differentiated before the next begins and its activations can make room.
 *
 * @param take - given the (scaled) gradient with respect to the features of each head in turn, if the encoder is trained; nothing
 *   reads those features any more
 * @returns scalars and chosen slots
 */
export function stepHeads(
  program: Program,
  setup: StepSetup,
  features: BatchFeatures,
  take: (gradient: Tensor, head: number) => void,
): { metrics: Tensor } & Record<string, Tensor> {
  const { model, encoder, heads: optimizer, teacher } = setup;
  const metrics = program.empty([model.heads.length, headMetricNames.length]);
  const inputs = headInputs(program, setup);
  const one = program.own(model.device.tensor([1], [1], "f32", "gradient of the losses"));
  const gradients = new Map<string, Tensor>();
  const results = model.heads.map((head, i) => {
    const own = features.own[i];
    if (!own) throw new OptionError(`refine: no features for head ${model.names[i]}`);
    const result = head.forward(own, {
      ...inputs(i),
      metrics: { table: metrics, row: i },
      ...(teacher ? { teacherProjections: teacher.project(taughtFeatures(setup, features, i), i) } : {}),
    });
    const names = optimizer.trained.filter((name) => name.startsWith(head.prefix));
    const targets = names.map((name) => optimizer.parameters.get(name));
    const list = program.gradients(result.loss, encoder ? [...targets, own] : targets, one);
    names.forEach((name, at) => {
      const gradient = list[at];
      if (gradient) gradients.set(name, gradient);
    });
    const gradient = list[names.length];
    if (encoder && gradient) take(scaled(encoder, gradient), i);
    return result;
  });
  optimizer.assign(
    program,
    optimizer.trained.flatMap((name) => gradients.get(name) ?? []),
  );
  const { norm } = optimizer.gradientNorm(program);
  optimizer.step(program, program.input("headScalars", [12]));
  if (teacher) optimizer.afterStep(program, (after) => teacher.updateHeads(after));
  return { metrics, ...slotsOf(results), headNorm: norm };
}

/** Records the update of the encoder from its gradient arena. */
export function updateEncoder(program: Program, setup: StepSetup, encoder: TrainedEncoder): Record<string, Tensor> {
  const { optimizer, average, lossScaling } = encoder;
  const gradients = optimizer.gradientNorm(program);
  const given = program.input("encoderScalars", [12]);
  const { norm, scalars } = lossScaling?.control(program, given, gradients) ?? { norm: gradients.norm, scalars: given };
  optimizer.step(program, scalars, average);
  const { teacher } = setup;
  if (teacher) optimizer.afterStep(program, (after) => teacher.updateEncoder(after));
  const outputs = { encoderNorm: norm };
  return lossScaling ? { ...outputs, lossScale: lossScaling.state } : outputs;
}

/** The gradient that arrives at pooled features, as it goes on into the encoder. */
function scaled({ lossScaling }: TrainedEncoder, gradient: Tensor): Tensor {
  return lossScaling ? lossScaling.scale(gradient) : gradient;
}

/** A result and the gradient that arrives at it. */
export function seeded(output: Tensor, gradient: Tensor | undefined): { output: Tensor; gradient: Tensor } {
  if (!gradient) throw new OptionError("refine: a head gave no gradient for its features");
  return { output, gradient };
}

function taughtFeatures({ model, loss }: StepSetup, { own, taught }: BatchFeatures, head: number): Tensor {
  const known = taught?.[head];
  if (known) return known;
  const features = own[head];
  if (!features) throw new OptionError(`refine: no features for head ${model.names[head]}`);
  return rows(features, 0, loss.layout.globalViews * loss.layout.batch);
}

/** Options of each head's forward pass, with the inputs that all heads share. */
function headInputs(program: Program, { loss, model }: StepSetup): (head: number) => HeadForwardOptions {
  const { layout, temperature, topK, swap, oracle, seed } = loss;
  const samples = program.input("samples", [layout.batch], "i32");
  const classes = program.input("classes", [layout.batch], "i32");
  const anchors = layout.globalViews * layout.batch;
  const step = topK > 1 ? program.input("update", [1], "u32") : undefined;
  const purposes = model.names.map((name) => `neighbour ${name}`);
  const choices = step ? chooseRanks(program, anchors, { k: topK, seed, purposes, step }) : [];
  const first = step ? undefined : program.own(model.device.zeros([anchors], "u32", "first ranks"));
  return (head) => {
    const choice = choices[head] ?? first;
    if (!choice) throw new OptionError(`refine: no choice of neighbours for head ${model.names[head]}`);
    return { layout, samples, classes, choice, training: true, temperature, topK, swap, oracle };
  };
}

/** Chosen queue slots per head, as `slots0`, `slots1`, … */
function slotsOf(results: readonly HeadResult[]): Record<string, Tensor> {
  return Object.fromEntries(results.map(({ neighbours }, i) => [`slots${i}`, neighbours.slots]));
}
