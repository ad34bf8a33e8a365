import {
  type Arena,
  add,
  concat,
  OptionError,
  type Program,
  type RecordedProgram,
  recordProgram,
  reshape,
  type Tensor,
  uniform,
} from "../engine/index.ts";
import { type EncodedTokens, poolingTable } from "../models/index.ts";
import { type BatchPart, readBatchRows, writeBatchRows } from "./batch_rows.ts";
import { summaryNames, type ViewLayout } from "./contrastive_loss.ts";
import type { HeadResult, Swap } from "./head.ts";
import type { RefinerModel } from "./model.ts";
import type { ArenaOptimizer } from "./optimizer.ts";
import { chooseRank, queueMetricNames } from "./queue.ts";

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
  readonly encoder?: { readonly optimizer: ArenaOptimizer; readonly average?: Arena };
}

/** Scalars of every head, row by row: `summaryNames`, then `queueMetricNames`. */
export const headMetricNames = [...summaryNames, ...queueMetricNames] as const;

/** One program for the whole step, for batches that fit the device at once. */
export function recordStep(setup: StepSetup): RecordedProgram<{ metrics: Tensor } & Record<string, Tensor>> {
  const { model, loss, encoder } = setup;
  return recordProgram(
    model.device,
    (program) => {
      const encoded = encode(program, setup, loss.layout.batch);
      const features = pool(setup, encoded);
      const results = forwardHeads(program, setup, features);
      const total = sumOf(results.map((result) => result.loss));
      const headNames = setup.heads.trained;
      const headTargets = headNames.map((name) => setup.heads.parameters.get(name));
      const encoderNames = encoder?.optimizer.trained ?? [];
      const encoderTargets = encoderNames.map((name) => model.encoder.parameters.get(name));
      const gradients = program.gradients(total, [...headTargets, ...encoderTargets]);
      setup.heads.assign(program, gradients.slice(0, headTargets.length));
      encoder?.optimizer.assign(program, gradients.slice(headTargets.length));
      return { metrics: metricsOf(results), ...slotsOf(results), ...update(program, setup) };
    },
    { name: "step" },
  );
}

/** The programs of the exact micro-batch scheme: features of all parts, heads on the whole batch, gradients of all parts. */
export interface MicroBatchPrograms {
  /** Runs once per micro-batch, keeping only the pooled features. */
  readonly encode: RecordedProgram<Record<string, Tensor>>;
  /** Runs once on the whole batch; clears the encoder's gradients. */
  readonly heads: RecordedProgram<{ metrics: Tensor } & Record<string, Tensor>>;
  /** Runs once per micro-batch and adds to the encoder's gradients. Undefined in stage 2. */
  readonly backward?: RecordedProgram<Record<string, Tensor>>;
  /** Runs once at the end. Undefined in stage 2. */
  readonly update?: RecordedProgram<Record<string, Tensor>>;
}

/** Pooled features of the whole batch and the gradients with respect to them, `[V · B, D]` per head. */
export class FeatureState {
  readonly features: readonly Tensor[];
  readonly gradients: readonly Tensor[];

  constructor(model: RefinerModel, layout: ViewLayout) {
    const shape = [(layout.globalViews + layout.localViews) * layout.batch, model.encoder.config.width];
    this.features = model.names.map((name) => model.device.zeros(shape, "f32", `${name} features`));
    this.gradients = model.names.map((name) => model.device.zeros(shape, "f32", `${name} feature gradients`));
  }
}

/**
 * Records the encoder programs for micro-batches of one size.
 *
 * @param part - images per micro-batch
 */
export function recordMicroBatch(
  setup: StepSetup,
  state: FeatureState,
  part: number,
): Pick<MicroBatchPrograms, "encode" | "backward"> {
  const { model, loss, encoder } = setup;
  const { batch, globalViews, localViews } = loss.layout;
  const views = globalViews + localViews;
  if (part > batch)
    throw new OptionError(
      `refine: a micro-batch of ${part} is larger than the batch of ${batch}; use at most ${batch}`,
    );
  const at = (program: Program): BatchPart => ({ views, batch, part, first: program.input("first", [1], "u32") });
  const encode_ = recordProgram<Record<string, Tensor>>(
    model.device,
    (program) => {
      const place = at(program);
      const features = pool(setup, encode(program, setup, part));
      features.forEach((rows, i) => {
        const target = state.features[i];
        if (target) writeBatchRows(program, rows, target, place);
      });
      return {};
    },
    { name: "encode", inference: true },
  );
  if (!encoder) return { encode: encode_ };
  const backward = recordProgram<Record<string, Tensor>>(
    model.device,
    (program) => {
      const place = at(program);
      const features = pool(setup, encode(program, setup, part));
      const seeds = features.map((output, i) => {
        const gradient = state.gradients[i];
        return gradient ? { output, gradient: readBatchRows(program, gradient, place) } : { output };
      });
      const { optimizer } = encoder;
      const targets = optimizer.trained.map((name) => model.encoder.parameters.get(name));
      optimizer.accumulate(program, program.pullBack(seeds, targets));
      return {};
    },
    { name: "backward" },
  );
  return { encode: encode_, backward };
}

/** Records the program of the heads on the whole batch and the one of the encoder's update. */
export function recordBatch(setup: StepSetup, state: FeatureState): Pick<MicroBatchPrograms, "heads" | "update"> {
  const { model, encoder } = setup;
  const heads = recordProgram(
    model.device,
    (program) => {
      const results = forwardHeads(program, setup, state.features);
      const total = sumOf(results.map((result) => result.loss));
      const names = setup.heads.trained;
      const targets = names.map((name) => setup.heads.parameters.get(name));
      const gradients = program.gradients(total, encoder ? [...targets, ...state.features] : targets);
      setup.heads.assign(program, gradients.slice(0, targets.length));
      state.gradients.forEach((target, i) => {
        const gradient = gradients[targets.length + i];
        if (gradient) program.assign(target, gradient);
      });
      encoder?.optimizer.clear(program);
      return { metrics: metricsOf(results), ...slotsOf(results), ...updateHeads(program, setup) };
    },
    { name: "heads" },
  );
  if (!encoder) return { heads };
  const update = recordProgram<Record<string, Tensor>>(model.device, (program) => updateEncoder(program, encoder), {
    name: "update",
  });
  return { heads, update };
}

function encode(program: Program, setup: StepSetup, images: number): EncodedTokens {
  return setup.model.encoder.forward(setup.views(program, images), { taps: setup.model.taps });
}

function pool(setup: StepSetup, encoded: EncodedTokens): Tensor[] {
  const { model } = setup;
  const { pooling } = model.config;
  return model.pool(encoded, poolingTable(model.device, encoded.segments, pooling, model.encoder.config.classTokens));
}

function forwardHeads(program: Program, setup: StepSetup, features: readonly Tensor[]): HeadResult[] {
  const { loss, model } = setup;
  const { layout } = loss;
  const samples = program.input("samples", [layout.batch], "i32");
  const classes = program.input("classes", [layout.batch], "i32");
  const rows = layout.globalViews * layout.batch;
  const step = loss.topK > 1 ? program.input("update", [1], "u32") : undefined;
  return model.heads.map((head, i) => {
    const input = features[i];
    if (!input) throw new OptionError(`refine: no features for head ${model.names[i]}`);
    const draws = step
      ? uniform(program, [rows], { seed: loss.seed, purpose: `neighbour ${model.names[i]}`, step })
      : undefined;
    const choice = draws ? chooseRank(draws, loss.topK) : setup.model.device.zeros([rows], "u32", "first ranks");
    return head.forward(input, {
      layout,
      samples,
      classes,
      choice,
      training: true,
      temperature: loss.temperature,
      topK: loss.topK,
      swap: loss.swap,
      oracle: loss.oracle,
    });
  });
}

function sumOf(losses: readonly Tensor[]): Tensor {
  return losses.reduce((sum, loss) => add(sum, loss));
}

/** `[heads, headMetricNames.length]` */
function metricsOf(results: readonly HeadResult[]): Tensor {
  const rows = results.flatMap(({ summary, neighbours }) => [summary, neighbours.metrics]);
  return reshape(concat(rows, 0), [results.length, headMetricNames.length]);
}

/** Chosen queue slots per head, as `slots0`, `slots1`, … */
function slotsOf(results: readonly HeadResult[]): Record<string, Tensor> {
  return Object.fromEntries(results.map(({ neighbours }, i) => [`slots${i}`, neighbours.slots]));
}

function update(program: Program, setup: StepSetup): Record<string, Tensor> {
  const { encoder } = setup;
  return { ...updateHeads(program, setup), ...(encoder ? updateEncoder(program, encoder) : {}) };
}

function updateHeads(program: Program, setup: StepSetup): { headNorm: Tensor; headNonFinite: Tensor } {
  const { norm, nonFinite } = setup.heads.gradientNorm(program);
  setup.heads.step(program, program.input("headScalars", [12]));
  return { headNorm: norm, headNonFinite: nonFinite };
}

function updateEncoder(
  program: Program,
  encoder: NonNullable<StepSetup["encoder"]>,
): { encoderNorm: Tensor; encoderNonFinite: Tensor } {
  const { optimizer, average } = encoder;
  const { norm, nonFinite } = optimizer.gradientNorm(program);
  optimizer.step(program, program.input("encoderScalars", [12]), average);
  return { encoderNorm: norm, encoderNonFinite: nonFinite };
}
