import type { Program, Tensor } from "../../../engine/index.ts";
import { type Precision, VisionTransformer, type VitConfig, vitConfig } from "../../../models/index.ts";
import type { ImageBatch } from "../../data/index.ts";
import { ownerOf, sliceOf } from "../../exchange/exchange.ts";
import { type RefineConfig, refineConfig } from "../../methods/refine/refine_config.ts";
import type { StageViews } from "../../methods/refine/refine_views.ts";
import { type HeadPlacement, RefinerModel } from "../../methods/refine/refiner_model.ts";
import { Stage } from "../../methods/refine/stage.ts";
import { planStage, type StagePlan } from "../../methods/refine/stage_plan.ts";
import { peakLearningRate } from "../../training/schedule.ts";
import type { GoldenCase } from "../fixture.ts";
import { writeQueue } from "../head_state.ts";
import { Json } from "../json.ts";

/** Factor on the gradients in f16, well within its range for these small models. */
export const lossScale = 1024;

/** A stage of `refine` in the state that a fixture begins with, on the views that it stores. */
export interface Training {
  readonly model: RefinerModel;
  readonly config: RefineConfig;
  readonly stage: Stage;
  readonly views: StoredViews;
  readonly average: VisionTransformer["parameters"];
  /** The update's samples with their classes; their views are loaded. */
  batch(update: number): Promise<ImageBatch>;
  destroy(): void;
}

/** @param run - key of the run in the JSON file, whose Adam epsilon is taken */
export async function prepareTraining(golden: GoldenCase, run: string): Promise<Training> {
  const { json, precision, exchange } = golden;
  const hyper = json.get("hyper");
  const encoder = await loadEncoder(golden);
  const model = await loadHeads(golden, encoder);
  const config = configOf(json, run, { model: encoder.config, precision });
  const average = encoder.parameters.like("ema");
  for (const name of average.tensors.keys())
    golden.device.write(average.get(name), await golden.floats(`initial/encoder.${name}`));
  const views = new StoredViews(golden, config);
  const stage = new Stage(model, config, planOf(json, config), 0, average, () => views, exchange);
  stage.reset(0);
  stage.encoder?.lossScaling?.reset({ scale: lossScale, beta1: config.beta1, beta2: config.beta2 });
  hyper.get("encoder").expect({ frozen: !stage.encoder });
  return {
    model,
    config,
    stage,
    views,
    average,
    async batch(update) {
      await views.load(update);
      return {
        number: update,
        images: [],
        indices: Uint32Array.from(await golden.integers(`step.${update}/idx`)),
        labels: Int32Array.from(await golden.integers(`step.${update}/cls`)),
        ...(exchange.size > 1 ? { first: views.slice.first } : {}),
      };
    },
    destroy() {
      stage.destroy();
      model.destroy();
      average.destroy();
      encoder.destroy();
    },
  };
}

/** The settings of `refine` that a fixture states. */
function configOf(
  json: Json,
  run: string,
  { model, precision }: { readonly model: VitConfig; readonly precision: Precision },
): RefineConfig {
  const hyper = json.get("hyper");
  const epsilon = json.get(run, "adam_eps").number();
  hyper.expect({ gradient_clipping: null, gradient_accumulation: 1, num_global_views: 2 });
  const [optimizer, schedule, head] = [hyper.get("optimizer"), hyper.get("schedule"), hyper.get("head")];
  optimizer.expect({ kind: "adamw" });
  optimizer.expect({ [run === "stable" ? "eps_of_stable_run" : "eps"]: epsilon });
  const [beta1, beta2] = optimizer.get("betas").numbers();
  const [globalPixels] = square(hyper.get("global_resolution"));
  const [localPixels] = square(hyper.get("local_resolution"));
  const given = (key: string, at: Json): Record<string, number> =>
    typeof at.value === "number" ? { [key]: at.number() } : {};
  return refineConfig({
    heads: hyper
      .get("heads")
      .keys()
      .map((name) => placementOf(hyper, name)),
    projectorWidth: head.get("proj_hidden_dim").number(),
    predictorWidth: head.get("pred_hidden_dim").number(),
    outputWidth: head.get("output_dim").number(),
    queueLength: head.get("queue_size").number(),
    temperature: hyper.get("temperature").number(),
    stage2TopK: head.get("queue_topk").number(),
    topK: head.get("queue_topk").number(),
    localViewsAsPublished: hyper.get("local_view_indexing").text() === "official",
    batch: json.get("batch_size").number(),
    stage2Epochs: schedule.get("epochs").number(),
    stage2Warmup: schedule.get("warmup_epochs").number(),
    stage2LearningRate: baseRate(json, "heads").number(),
    stage3Epochs: schedule.get("epochs").number(),
    stage3Warmup: schedule.get("warmup_epochs").number(),
    ...given("stage3LearningRate", baseRate(json, "encoder")),
    endLearningRate: schedule.get("end_lr").number(),
    ...given("layerDecay", optimizer.get("layerwise_lr_decay")),
    ...given("encoderWeightDecay", optimizer.get("weight_decay_encoder")),
    headWeightDecay: optimizer.get("weight_decay_heads").number(),
    beta1,
    beta2,
    adamEpsilon: epsilon,
    ...given("ema", hyper.get("ema")),
    globalPixels: globalPixels ?? model.heightPixels,
    localPixels: localPixels ?? 0,
    localViews: hyper.get("num_local_views").number(),
    precision,
  });
}

/** The rate that a peak belongs to, which some files state instead. */
function baseRate(json: Json, group: string): Json {
  const base = json.get("hyper", `base_lr_${group}`);
  const peak = json.get("hyper", "optimizer", `peak_lr_${group}`);
  if (base.exists || !peak.exists) return base;
  return new Json(peak.number() / peakLearningRate(1, json.get("batch_size").number()), peak.path);
}

function square(resolution: Json): number[] {
  const [height, width] = resolution.numbers();
  resolution.expect({ 1: height });
  return height === undefined || width === undefined ? [] : [height];
}

/** In the fixtures' stage 3 the heads have a rate of their own: that of stage 2. */
function planOf(json: Json, config: RefineConfig): StagePlan {
  const images = config.batch * json.get("hyper", "schedule", "updates_per_epoch").number();
  const heads = planStage(config, 2, images);
  const plan = json.get("stage").number() === 2 ? heads : { ...planStage(config, 3, images), heads: heads.heads };
  json.expect({ num_updates: plan.updates });
  return plan;
}

function placementOf(hyper: Json, name: string): HeadPlacement {
  const block = hyper.get("heads", name, "block").value;
  return typeof block === "number" ? block : "last";
}

async function loadEncoder(golden: GoldenCase): Promise<VisionTransformer> {
  const { device } = golden;
  const hyper = golden.json.get("hyper", "encoder");
  const [channels = 3, heightPixels = 0, widthPixels = 0] = hyper.get("input_shape").numbers();
  const config = vitConfig({
    kind: hyper.get("kind").text() === "postnorm" ? "postnorm" : "prenorm",
    patchPixels: hyper.get("patch_size").number(),
    width: hyper.get("dim").number(),
    blocks: hyper.get("depth").number(),
    heads: hyper.get("num_heads").number(),
    mlpWidth: hyper.get("mlp_hidden_dim").number(),
    epsilon: hyper.get("eps").number(),
    channels,
    heightPixels,
    widthPixels,
  });
  const vit = new VisionTransformer(device, config);
  for (const name of vit.parameters.tensors.keys())
    device.write(vit.parameters.get(name), await golden.floats(`initial/encoder.${name}`));
  device.write(vit.positions, await golden.floats("initial/encoder.pos_embed.embed"));
  return vit;
}

async function loadHeads(golden: GoldenCase, encoder: VisionTransformer): Promise<RefinerModel> {
  const hyper = golden.json.get("hyper");
  const names = hyper.get("heads").keys();
  const head = hyper.get("head");
  const model = new RefinerModel(
    encoder,
    {
      placements: names.map((name) => placementOf(hyper, name)),
      pooling: "cls",
      owned: (place) => ownerOf(place, names.length, golden.exchange.size) === golden.exchange.rank,
      head: {
        inputWidth: encoder.config.width,
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
export function headState(model: RefinerModel): [string, Tensor][] {
  const queues = model.heads.flatMap(({ queue }, i) =>
    Object.entries(queue.state).map(([name, tensor]): [string, Tensor] => [`${model.names[i]}.${name}`, tensor]),
  );
  return [...model.headParameters.tensors, ...model.headStatistics.tensors, ...model.headCounters.tensors, ...queues];
}

/** The views that a fixture stores, in place of those that a run cuts out of its images. */
export class StoredViews implements StageViews {
  readonly #groups: readonly { readonly name: string; readonly first: number; readonly count: number }[];
  /** Of the images of a batch, those of this process. */
  readonly slice: ReturnType<typeof sliceOf>;
  #values: Readonly<Record<string, Float32Array>> = {};

  constructor(
    readonly golden: GoldenCase,
    { batch, localViews }: RefineConfig,
  ) {
    this.slice = sliceOf(batch, golden.exchange);
    const globalViews = 2;
    this.#groups = [
      { name: "globalViews", first: 0, count: globalViews },
      { name: "localViews", first: globalViews, count: localViews },
    ].filter(({ count }) => count > 0);
  }

  record(program: Program): Tensor[] {
    return this.#groups.map(({ name, first, count }) => {
      const [, ...image] = this.golden.shape(`step.0/view.${first}`);
      return program.input(name, [count * this.slice.count, ...image]);
    });
  }

  async load(update: number): Promise<void> {
    const values: [string, Float32Array][] = [];
    for (const { name, first, count } of this.#groups) {
      const parts: number[] = [];
      for (let view = first; view < first + count; view++)
        for (const value of await this.#view(`step.${update}/view.${view}`)) parts.push(value);
      values.push([name, Float32Array.from(parts)]);
    }
    this.#values = Object.fromEntries(values);
  }

  async #view(name: string): Promise<Float32Array> {
    const [, ...image] = this.golden.shape(name);
    const size = image.reduce((product, length) => product * length, 1);
    const { first, count } = this.slice;
    return (await this.golden.floats(name)).subarray(first * size, (first + count) * size);
  }

  values(): Readonly<Record<string, Float32Array>> {
    return this.#values;
  }
}
