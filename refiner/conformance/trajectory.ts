import { type HostArray, stepScalars, type Tensor } from "../../engine/index.ts";
import { VisionTransformer, vitConfig } from "../../models/index.ts";
import { headMetricNames } from "../methods/refine/contrastive_summary.ts";
import { type HeadPlacement, RefinerModel } from "../methods/refine/refiner_model.ts";
import { recordStep, type StepSetup } from "../methods/refine/step.ts";
import { LossScaling } from "../training/loss_scaling.ts";
import { ArenaOptimizer } from "../training/optimizer.ts";
import { layerDecayFactor, learningRateAt, type Schedule } from "../training/schedule.ts";
import { type GoldenCase, goldenBounds, type Json, modelBounds } from "./fixture.ts";
import { writeQueue } from "./head.ts";
import { checkParameterGroups, type TrainedGroup } from "./parameter_groups.ts";

/** Bounds of the runs with Adam eps 1e-4, which suppresses round-off where the exact gradient is zero. */
const stableBounds = { loss: 1e-5, weightAbsolute: 1e-4 } as const;
/** Another f32 implementation may be as far from float64 as the stored one is, in the other direction, and unluckier. */
const roundOffFactor = 4;

/**
 * In f16 the features' errors grow in the heads, where batch norms and unit lengths divide by deviations and norms below 1; and
 * of neighbours that are about as similar another one may be chosen, in up to one of twenty choices.
 */
const halfFactor = 2;
const otherNeighbours = 0.05;

/**
 * Whole trainings, step by step: losses, metrics and chosen neighbours of every update and head, gradients of the first
 * update, state after the first and after the last. In f16 a loss is compared where the same neighbours were chosen, and the
 * last state not at all: after another choice it is that of another training.
 */
export async function checkTrajectory(golden: GoldenCase): Promise<void> {
  for (const run of ["main", "stable"] as const) {
    const before = golden.rows.length;
    const ties: Tie[] = [];
    for (;;) {
      const training = await prepare(golden);
      if (run === "main") checkParameterGroups(golden, training.groups);
      const found = await replay(golden, run, training, ties);
      if (found.length === 0) break;
      ties.push(...found);
      golden.rows.length = before;
    }
  }
}

/**
 * A queue entry that was chosen in place of the stored one although the two are equally similar up to round-off. `main` turns
 * round-off into steps of Adam, and those into queue entries; how far the stored run's are from float64 stands in its file.
 * Where its best and second best similarity are nearer to each other than that, the entry is turned by half of that before the
 * update, and everything else must then be as stored, the choice included.
 */
interface Tie {
  readonly update: number;
  /** Place of the head. */
  readonly head: number;
  readonly slot: number;
  /** The slot that the stored run chose. */
  readonly stored: number;
}

/** Entries to move that are not among those moved already. */
function tiesOf(
  json: Json,
  update: number,
  names: readonly string[],
  values: Record<string, HostArray>,
  moved: readonly Tie[],
): Tie[] {
  return names.flatMap((name, head) => {
    const neighbours = json.get("steps", update, "neighbours", name);
    if (neighbours.get("gap_best_to_second").number() > entryNoise(json, name)) return [];
    const isMoved = (slot: number): boolean => moved.some((tie) => tie.head === head && tie.slot === slot);
    const chosen = values[`slots${head}`] ?? [];
    return neighbours
      .get("queue_idx")
      .numbers()
      .flatMap((stored, row): Tie[] => {
        const slot = chosen[row] ?? stored;
        return slot === stored || isMoved(slot) ? [] : [{ update, head, slot, stored }];
      });
  });
}

/** How far entries of a head's queue are from float64 at the end of the stored run; it lists the largest differences. */
function entryNoise(json: Json, name: string): number {
  const largest = json.get("max_abs_difference_to_float64", "final_largest");
  const own = largest.get(`heads.${name}.queue.x`);
  if (own.value !== undefined) return own.number();
  return Math.min(...largest.keys().map((key) => largest.get(key).number()));
}

/** Turns the chosen entries away from the stored ones by half of the noise. */
async function moveTied(golden: GoldenCase, training: Training, json: Json, ties: readonly Tie[]): Promise<void> {
  const { model } = training.setup;
  for (const { update, head, slot, stored } of ties) {
    const name = model.names[head] ?? "";
    const noise = entryNoise(json, name);
    const gap = json.get("steps", update, "neighbours", name, "gap_best_to_second");
    golden.addError(gap.path, gap.number(), noise);
    const queue = model.heads[head]?.queue.state["queue.x"];
    if (!queue) continue;
    const entries = Float32Array.from(await queue.read());
    const width = queue.shape.at(-1) ?? 1;
    const entry = (at: number): Float32Array => entries.subarray(at * width, (at + 1) * width);
    entry(slot).set(turnedAway(entry(slot), entry(stored), noise / 2));
    golden.device.write(queue, entries);
  }
}

/** A vector of the same length in a direction that is farther from another one's by about so much (radians). */
function turnedAway(vector: Float32Array, other: Float32Array, by: number): Float32Array {
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
  const share = dot(vector, other) / dot(vector, vector);
  const across = other.map((value, i) => value - share * (vector[i] ?? 0));
  const factor = by * Math.sqrt(dot(vector, vector) / dot(across, across));
  return vector.map((value, i) => value - factor * (across[i] ?? 0));
}

/** @returns ties found, for which the replay was given up */
async function replay(
  golden: GoldenCase,
  run: "main" | "stable",
  training: Training,
  moved: readonly Tie[],
): Promise<Tie[]> {
  const json = golden.json.get(run);
  const recorded = recordStep(training.setup);
  const absolute =
    run === "stable" ? undefined : roundOffFactor * json.get("max_abs_difference_to_float64", "losses").number();
  const names = training.setup.model.names;
  const chosen: Choices = { count: 0, different: 0 };
  for (const index of json.get("steps").keys()) {
    const update = Number(index);
    await training.load(update);
    const tied = moved.filter((tie) => tie.update === update);
    await moveTied(golden, training, json, tied);
    const inputs = {
      samples: Int32Array.from(await golden.integers(`step.${update}/idx`)),
      classes: Int32Array.from(await golden.integers(`step.${update}/cls`)),
      ...training.scalars(update, json.get("adam_eps").number()),
    };
    const slotNames = names.map((_, i) => `slots${i}`);
    await checkMaskedSlots(golden, json.get("steps", index), training, inputs.samples);
    const values: Record<string, HostArray> = await (await recorded.run(inputs, ["metrics", ...slotNames])).read();
    if (run === "main" && update > 0 && golden.precision === "f32") {
      const ties = tiesOf(json, update, names, values, tied);
      if (ties.length > 0) {
        recorded.destroy();
        return ties;
      }
    }
    checkStep(golden, json.get("steps", index), { names, values, absolute, bounds: stepBounds(training), chosen });
    if (update === 0 && run === "main") await checkFirstUpdate(golden, training, json);
  }
  if (golden.precision === "f16") {
    golden.addError(`${run}: share of other neighbours`, chosen.different / chosen.count, otherNeighbours);
    recorded.destroy();
    return [];
  }
  const weights =
    run === "stable"
      ? stableBounds.weightAbsolute
      : roundOffFactor * json.get("max_abs_difference_to_float64", "final").number();
  const prefix = run === "stable" ? "stable/" : "";
  await checkState(golden, `${prefix}final/`, training, () => weights);
  for (const stored of golden.names(`${prefix}ema/`)) {
    const name = stored.slice(`${prefix}ema/`.length);
    const average = training.setup.encoder?.average;
    if (average) await compareAbsolute(golden, stored, await average.get(name).read(), weights);
  }
  recorded.destroy();
  return [];
}

/** Factor on the gradients in f16, well within its range for these small models. */
const lossScale = 1024;

interface Training {
  readonly setup: StepSetup;
  /** Writes the views of an update. */
  load(update: number): Promise<void>;
  scalars(update: number, epsilon: number): Record<string, Float32Array>;
  readonly groups: readonly TrainedGroup[];
}

async function prepare(golden: GoldenCase): Promise<Training> {
  const { device } = golden;
  const hyper = golden.json.get("hyper");
  const model = await loadModel(golden);
  const layout = {
    batch: golden.json.get("batch_size").number(),
    globalViews: hyper.get("num_global_views").number(),
    localViews: hyper.get("num_local_views").number(),
    localIndexing: hyper.get("local_view_indexing").text() === "official" ? "published" : "stated",
  } as const;
  const views = viewTensors(golden, layout);
  const optimizer = hyper.get("optimizer");
  const isFrozen = hyper.get("encoder", "frozen").value === true;
  const { blocks } = model.encoder.config;
  const heads = new ArenaOptimizer(model.headParameters, { weightDecay: optimizer.get("weight_decay_heads").number() });
  const encoder = isFrozen
    ? undefined
    : {
        optimizer: new ArenaOptimizer(model.encoder.parameters, {
          weightDecay: optimizer.get("weight_decay_encoder").number(),
          scaleOf: (name) =>
            layerDecayFactor(optimizer.get("layerwise_lr_decay").number(), model.encoder.depthOf(name), blocks),
        }),
        average: model.encoder.parameters.like("ema"),
      };
  if (encoder) {
    for (const name of model.encoder.parameters.tensors.keys()) {
      device.write(encoder.average.get(name), await golden.floats(`initial/encoder.${name}`));
    }
  }
  const [beta1 = 0.9, beta2 = 0.95] = optimizer.get("betas").numbers();
  const lossScaling = golden.precision === "f16" ? new LossScaling(device) : undefined;
  lossScaling?.reset({ scale: lossScale, beta1, beta2 });
  const scalarsOf = (peak: number, update: number, epsilon: number, averageFactor = 0): Float32Array =>
    stepScalars({
      learningRate: learningRateAt(scheduleOf(hyper, peak), update),
      step: update + 1,
      beta1,
      beta2,
      epsilon,
      averageFactor,
    });
  return {
    setup: {
      model,
      views: () => views.tensors,
      heads,
      precision: golden.precision,
      ...(encoder ? { encoder: { ...encoder, ...(lossScaling ? { lossScaling } : {}) } } : {}),
      loss: {
        layout,
        temperature: hyper.get("temperature").number(),
        topK: hyper.get("head", "queue_topk").number(),
        swap: "positives",
        oracle: false,
        seed: 0,
      },
    },
    load: views.load,
    groups: [
      {
        prefix: "heads.",
        optimizer: heads,
        schedule: scheduleOf(hyper, optimizer.get("peak_lr_heads").number()),
      },
      ...(encoder
        ? [
            {
              prefix: "encoder.",
              optimizer: encoder.optimizer,
              schedule: scheduleOf(hyper, optimizer.get("peak_lr_encoder").number()),
            },
          ]
        : []),
    ],
    scalars: (update, epsilon) => ({
      headScalars: scalarsOf(optimizer.get("peak_lr_heads").number(), update, epsilon),
      ...(encoder
        ? {
            encoderScalars: scalarsOf(
              optimizer.get("peak_lr_encoder").number(),
              update,
              epsilon,
              hyper.get("ema").number(),
            ),
          }
        : {}),
    }),
  };
}

function scheduleOf(hyper: Json, peak: number): Schedule {
  const schedule = hyper.get("schedule");
  const perEpoch = schedule.get("updates_per_epoch").number();
  return {
    peak,
    warmupUpdates: schedule.get("warmup_epochs").number() * perEpoch,
    totalUpdates: schedule.get("epochs").number() * perEpoch,
    end: schedule.get("end_lr").number(),
  };
}

/** State tensors for the views of one resolution each. */
function viewTensors(golden: GoldenCase, layout: { globalViews: number; localViews: number; batch: number }) {
  const { device } = golden;
  const groups = [
    { first: 0, count: layout.globalViews },
    { first: layout.globalViews, count: layout.localViews },
  ].filter(({ count }) => count > 0);
  const tensors = groups.map(({ first, count }) => {
    const [batch = 1, ...image] = golden.shape(`step.0/view.${first}`);
    return device.zeros([count * batch, ...image], "f32", `views from ${first}`);
  });
  const load = async (update: number): Promise<void> => {
    for (const [i, { first, count }] of groups.entries()) {
      const target = tensors[i];
      const parts = await Promise.all(
        Array.from({ length: count }, (_, v) => golden.floats(`step.${update}/view.${first + v}`)),
      );
      if (target) device.write(target, Float32Array.from(parts.flatMap((part) => Array.from(part))));
    }
  };
  return { tensors, load };
}

async function loadModel(golden: GoldenCase): Promise<RefinerModel> {
  const { device } = golden;
  const hyper = golden.json.get("hyper");
  const encoder = hyper.get("encoder");
  const [channels = 3, heightPixels = 0, widthPixels = 0] = encoder.get("input_shape").numbers();
  const config = vitConfig({
    kind: encoder.get("kind").text() === "postnorm" ? "postnorm" : "prenorm",
    patchPixels: encoder.get("patch_size").number(),
    width: encoder.get("dim").number(),
    blocks: encoder.get("depth").number(),
    heads: encoder.get("num_heads").number(),
    mlpWidth: encoder.get("mlp_hidden_dim").number(),
    epsilon: encoder.get("eps").number(),
    channels,
    heightPixels,
    widthPixels,
  });
  const vit = new VisionTransformer(device, config);
  for (const name of vit.parameters.tensors.keys())
    device.write(vit.parameters.get(name), await golden.floats(`initial/encoder.${name}`));
  device.write(vit.positions, await golden.floats("initial/encoder.pos_embed.embed"));
  const names = hyper.get("heads").keys();
  const placements = names.map((name): HeadPlacement => {
    const block = hyper.get("heads", name, "block").value;
    return typeof block === "number" ? block : "last";
  });
  const head = hyper.get("head");
  const model = new RefinerModel(
    vit,
    {
      placements,
      pooling: "cls",
      head: {
        inputWidth: config.width,
        projectorWidth: head.get("proj_hidden_dim").number(),
        predictorWidth: head.get("pred_hidden_dim").number(),
        outputWidth: head.get("output_dim").number(),
        queueLength: head.get("queue_size").number(),
        projectorHiddenLayers: head.get("proj_hidden_layers").number(),
        predictorHiddenLayers: head.get("pred_hidden_layers").number(),
      },
    },
    names,
  );
  for (const [name, tensor] of headState(model)) await writeQueue(golden, tensor, `initial/heads.${name}`);
  return model;
}

/** All state of all heads under the published names. */
function headState(model: RefinerModel): [string, Tensor][] {
  const queues = model.heads.flatMap(({ queue }, i) =>
    Object.entries(queue.state).map(([name, tensor]): [string, Tensor] => [`${model.names[i]}.${name}`, tensor]),
  );
  return [...model.headParameters.tensors, ...model.headStatistics.tensors, ...model.headCounters.tensors, ...queues];
}

/** Choices of neighbours in a run, and those that differ from the stored ones. */
interface Choices {
  count: number;
  different: number;
}

interface StepValues {
  readonly names: readonly string[];
  readonly values: Record<string, HostArray>;
  /** Error that the run's own float64 differences justify. */
  readonly absolute: number | undefined;
  readonly bounds: { readonly loss: number; readonly info: number };
  /** Counted in f16. */
  readonly chosen: Choices;
}

/** Relative bounds of losses and metrics. */
function stepBounds({ setup }: Training): StepValues["bounds"] {
  if (setup.precision !== "f16") return { loss: stableBounds.loss, info: 5 * goldenBounds.forward };
  const bound = halfFactor * modelBounds("f16", setup.model.encoder.config.blocks).forward;
  return { loss: bound, info: bound };
}

function checkStep(golden: GoldenCase, json: Json, step: StepValues): void {
  const { names, values, absolute, bounds, chosen } = step;
  const compare = (at: Json, actual: number, tight: number): void => {
    const expected = at.number();
    const bound = absolute === undefined ? tight : Math.max(tight, absolute / Math.max(Math.abs(expected), 1e-6));
    golden.addScalar(at, actual, bound);
  };
  const metrics = values.metrics ?? [];
  const metric = (head: number, name: (typeof headMetricNames)[number]): number =>
    metrics[head * headMetricNames.length + headMetricNames.indexOf(name)] ?? Number.NaN;
  const losses = json.get("losses");
  const isHalf = golden.precision === "f16";
  const differing = names.map((name, i) => {
    const stored = json.get("neighbours", name, "queue_idx").numbers();
    const different = stored.filter((slot, at) => slot !== values[`slots${i}`]?.[at]).length;
    chosen.count += stored.length;
    chosen.different += different;
    return different;
  });
  if (!isHalf || differing.every((count) => count === 0)) {
    const total = names.reduce((sum, _, i) => sum + metric(i, "total"), 0);
    compare(losses.get("total"), total, bounds.loss);
  }
  names.forEach((name, i) => {
    if (isHalf && (differing[i] ?? 0) > 0) return;
    const rows = { total: "total", global_loss: "globalLoss", local_loss: "localLoss" } as const;
    for (const [key, ours] of Object.entries(rows)) {
      const at = losses.get(`heads.${name}.${key}`);
      if (at.value !== undefined) compare(at, metric(i, ours), bounds.loss);
    }
    const infos = {
      "nn-similarity": "nnSimilarity",
      "nn-age": "nnAge",
      "nn-accuracy": "nnAccuracy",
      global_alignment: "globalAlignment",
      local_alignment: "localAlignment",
    } as const;
    // A probability is e to the minus loss: its relative error is the absolute one of the loss.
    const info = isHalf ? bounds.loss * Math.max(1, metric(i, "total")) : bounds.info;
    for (const [key, ours] of Object.entries(infos)) {
      const at = json.get("infos", `${key}/${name}`);
      if (at.value !== undefined) compare(at, metric(i, ours), info);
    }
    golden.addScalar(json.get("infos", `loss_weight/${name}`), 1, goldenBounds.exact); // the loss is a plain sum
    const slots = json.get("neighbours", name, "queue_idx");
    golden.add(slots.path, values[`slots${i}`] ?? [], slots.numbers(), goldenBounds.exact);
  });
}

/** For how many rows the queue holds an entry of their own sample, before an update. */
async function checkMaskedSlots(
  golden: GoldenCase,
  json: Json,
  training: Training,
  samples: Int32Array,
): Promise<void> {
  const { model, loss } = training.setup;
  for (const [i, name] of model.names.entries()) {
    const owners = new Set(await model.heads[i]?.queue.samples.read());
    const masked = samples.filter((sample) => owners.has(sample)).length * loss.layout.globalViews;
    golden.addScalar(json.get("neighbours", name, "queries_with_masked_slots"), masked, goldenBounds.exact);
  }
}

async function checkFirstUpdate(golden: GoldenCase, training: Training, json: Json): Promise<void> {
  const { heads, encoder } = training.setup;
  for (const stored of golden.names("step.0/grads/")) {
    const [group, name] = splitName(stored.slice("step.0/grads/".length));
    const arena = group === "heads" ? heads.gradients : encoder?.optimizer.gradients;
    if (!arena) continue;
    const values = await arena.get(name).read();
    if (golden.precision === "f32") await golden.compareGradient(stored, values);
    else await compareHalfGradient(golden, training, stored, group === "heads" ? values : unscaled(values));
  }
  if (golden.precision === "f16") return;
  const roundOff = roundOffFactor * json.get("max_abs_difference_to_float64", "final").number();
  const isNoise = new Set(golden.json.get("zero_gradient_in_exact_arithmetic").keys());
  await checkState(golden, "after.0/", training, (name) =>
    isNoise.has(name) ? roundOff : stableBounds.weightAbsolute,
  );
}

function unscaled(values: ArrayLike<number>): number[] {
  return Array.from(values, (value) => value / lossScale);
}

/** One that is zero in exact arithmetic is the round-off of sums over all rows, and measured against the other gradients. */
async function compareHalfGradient(
  golden: GoldenCase,
  { setup }: Training,
  stored: string,
  values: ArrayLike<number>,
): Promise<void> {
  const bound = halfFactor * modelBounds("f16", setup.model.encoder.config.blocks).gradient;
  const expected = await golden.floats(stored);
  const sibling = stored.replace(/bias$/, "weight"); // of the same norm
  const others = golden.has(sibling) ? await golden.floats(sibling) : expected;
  const largest = (list: Float32Array): number => list.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isZero = largest(expected) < 1e-6;
  const scale = Math.max(largest(isZero ? others : expected), 1e-6);
  const error = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (values[i] ?? Number.NaN))), 0);
  golden.addError(stored, error / scale, bound);
}

async function checkState(
  golden: GoldenCase,
  prefix: string,
  training: Training,
  absolute: (name: string) => number,
): Promise<void> {
  const { model } = training.setup;
  const heads = new Map(headState(model));
  for (const stored of golden.names(prefix)) {
    const full = stored.slice(prefix.length);
    const [group, name] = splitName(full);
    const tensor =
      group === "heads"
        ? heads.get(name)
        : name === "pos_embed.embed"
          ? model.encoder.positions
          : model.encoder.parameters.get(name);
    const values = tensor ? await tensor.read() : [];
    if (tensor?.dtype === "f32") await compareAbsolute(golden, stored, values, absolute(full));
    else await golden.compare(stored, values, goldenBounds.exact);
  }
}

/** Compares with an absolute bound, stated relative to the largest stored value. */
async function compareAbsolute(
  golden: GoldenCase,
  stored: string,
  values: ArrayLike<number>,
  absolute: number,
): Promise<void> {
  const expected = await golden.floats(stored);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  golden.add(stored, values, expected, absolute / largest);
}

function splitName(name: string): [group: string, rest: string] {
  const dot = name.indexOf(".");
  return [name.slice(0, dot), name.slice(dot + 1)];
}
