import { type Arena, type Outputs, type RecordedProgram, recordProgram, stepScalars } from "../../../engine/index.ts";
import { Classifier, type Pooling, type VitConfig, vitConfig } from "../../../models/index.ts";
import { mixImages, softTargets } from "../../data/augmentation/mix_batch.ts";
import {
  cutmixHalves,
  cutmixOf,
  type Mixing,
  mixingLength,
  mixingValues,
  mixupOf,
  noMixing,
} from "../../data/augmentation/mixing.ts";
import { DropPath } from "../../methods/finetune/drop_path.ts";
import { FinetuneStep } from "../../methods/finetune/finetune_step.ts";
import { finetuneGroups } from "../../methods/finetune/parameter_groups.ts";
import { LossScaling } from "../../training/loss_scaling.ts";
import { ArenaOptimizer } from "../../training/optimizer.ts";
import { learningRateAt, peakLearningRate } from "../../training/schedule.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Json } from "../json.ts";

/** The learning rate of every update, without the factors of parameters. */
export function learningRates(hyper: Json): number[] {
  const number = (key: string): number => hyper.get(key).number();
  hyper.expect({ peak_lr: peakLearningRate(number("base_lr"), number("batch_size")) });
  const schedule = {
    peak: number("peak_lr"),
    warmupUpdates: number("warmup_updates"),
    totalUpdates: number("total_updates"),
    end: number("end_lr"),
  };
  return Array.from({ length: schedule.totalUpdates }, (_, update) => learningRateAt(schedule, update));
}

/** The encoder that a fixture's sizes describe. */
export function fixtureEncoder(sizes: Json, hyper: Json): VitConfig {
  const [channels = 3, heightPixels = 1, widthPixels = 1] = hyper.get("input_shape").numbers();
  return vitConfig({
    patchPixels: hyper.get("patch_size").number(),
    width: sizes.get("dim").number(),
    blocks: sizes.get("depth").number(),
    heads: sizes.get("num_heads").number(),
    channels,
    heightPixels,
    widthPixels,
  });
}

/** A classifier of the fixture's classes, with the weights that are stored under a prefix. */
export async function storedClassifier(
  golden: GoldenCase,
  vit: VitConfig,
  { prefix, pooling }: { readonly prefix: string; readonly pooling: Pooling },
): Promise<Classifier> {
  const hyper = golden.json.get("hyper");
  const model = new Classifier(golden.device, vit, {
    classNames: Array.from({ length: hyper.get("num_classes").number() }, (_, label) => String(label)),
    pooling,
    pixels: vit.heightPixels,
    mean: [0, 0, 0],
    deviation: [1, 1, 1],
  });
  for (const stored of golden.names(prefix))
    golden.device.write(model.parameters.get(stored.slice(prefix.length)), await golden.floats(stored));
  return model;
}

/** Logits of a classifier in evaluation mode. */
export async function logitsOf(
  golden: GoldenCase,
  model: Classifier,
  images: Float32Array,
): Promise<ArrayLike<number>> {
  const { channels, heightPixels, widthPixels } = model.config;
  const shape = [images.length / (channels * heightPixels * widthPixels), channels, heightPixels, widthPixels];
  const program = recordProgram<Outputs>(
    golden.device,
    (p) => ({ logits: model.forward(p.input("pixels", shape), { precision: golden.precision }) }),
    { inference: true },
  );
  const { logits = [] } = await (await program.run({ pixels: images }, ["logits"])).read();
  program.destroy();
  return logits;
}

/** The updates of the fixture, by the functions that the command uses; only the draws are stored ones. */
export class FixtureTraining {
  readonly #step: FinetuneStep;
  readonly #forward: RecordedProgram<Outputs>;

  private constructor(
    readonly golden: GoldenCase,
    readonly model: Classifier,
    readonly optimizer: ArenaOptimizer,
    readonly dropPath: DropPath,
    readonly adamEpsilon: number,
    readonly lossScaling: LossScaling | undefined,
  ) {
    const { json, precision } = golden;
    const hyper = json.get("hyper");
    const batch = hyper.get("batch_size").number();
    const labelSmoothing = hyper.get("label_smoothing").number();
    const { channels, heightPixels, widthPixels, blocks } = model.config;
    const pixels = [channels, heightPixels, widthPixels];
    this.#step = new FinetuneStep({
      model,
      batch,
      part: batch,
      views: (program, images) => program.input("pixels", [images, ...pixels]),
      mixes: true,
      labelSmoothing,
      dropPath,
      recompute: false,
      precision,
      optimizer,
      average: undefined,
      lossScaling,
    });
    const classes = model.description.classNames.length;
    this.#forward = recordProgram<Outputs>(
      model.device,
      (p) => {
        const [mixing, none] = [p.input("mixing", [mixingLength]), p.input("none", [mixingLength])];
        const labels = p.input("labels", [batch], "u32");
        const mixed = mixImages(p.input("pixels", [batch, ...pixels]), mixing);
        const keep = dropPath.keep(p.input("dropPath", [dropPath.rows, batch]), blocks);
        return {
          mixed,
          targets: softTargets(labels, mixing, { classes, labelSmoothing }),
          smoothed: softTargets(labels, none, { classes, labelSmoothing }),
          logits: model.forward(mixed, { precision, ...(keep ? { keep } : {}) }),
        };
      },
      { inference: true },
    );
  }

  /** @param adamEpsilon - added to the root of the second moment */
  static async open(golden: GoldenCase, adamEpsilon: number): Promise<FixtureTraining> {
    const hyper = golden.json.get("hyper");
    hyper.expect({ pooling: "class_token", mixup_alpha: 0.8, cutmix_alpha: 1 });
    const number = (key: string): number => hyper.get(key).number();
    const vit = fixtureEncoder(hyper, hyper);
    const model = await storedClassifier(golden, vit, { prefix: "initial/", pooling: "cls" });
    const groups = finetuneGroups(model, {
      layerDecay: number("layerwise_lr_decay"),
      weightDecay: number("weight_decay"),
      frozenShare: 0,
      protocol: "fine-tuning",
    });
    const dropPath = new DropPath(number("drop_path_rate"), vit.blocks, number("batch_size"), "as-published");
    const lossScaling = golden.precision === "f16" ? new LossScaling(golden.device) : undefined;
    const [beta1 = 0.9, beta2 = 0.999] = hyper.get("betas").numbers();
    lossScaling?.reset({ updates: 0, beta1, beta2 });
    const optimizer = new ArenaOptimizer(model.parameters, groups);
    return new FixtureTraining(golden, model, optimizer, dropPath, adamEpsilon, lossScaling);
  }

  get groups(): ArenaOptimizer["groups"] {
    return this.optimizer.groups;
  }

  get gradients(): Arena {
    return this.optimizer.gradients;
  }

  /** What the model sees in a step, and its logits in training mode. */
  async forward(
    step: number,
  ): Promise<Readonly<Record<"mixed" | "targets" | "smoothed" | "logits", ArrayLike<number>>>> {
    const inputs = { ...(await this.#inputs(step)), none: mixingValues(noMixing) };
    const names = ["mixed", "targets", "smoothed", "logits"] as const;
    const {
      mixed = [],
      targets = [],
      smoothed = [],
      logits = [],
    } = await (await this.#forward.run(inputs, [...names])).read();
    return { mixed, targets, smoothed, logits };
  }

  /** @returns the loss before the update */
  async update(step: number): Promise<number> {
    const { json } = this.golden;
    const hyper = json.get("hyper");
    const [beta1 = 0.9, beta2 = 0.999] = hyper.get("betas").numbers();
    const learningRate = learningRates(hyper)[step] ?? Number.NaN;
    const inputs = await this.#inputs(step);
    const readback = await this.#step.run({
      parts: () => inputs,
      scalars: stepScalars({ learningRate, step: step + 1, beta1, beta2, epsilon: this.adamEpsilon }),
    });
    const { loss } = await readback.read();
    return loss?.[0] ?? Number.NaN;
  }

  evaluate(images: Float32Array): Promise<ArrayLike<number>> {
    return logitsOf(this.golden, this.model, images);
  }

  async #inputs(step: number) {
    const { golden, dropPath, model } = this;
    const { heightPixels, widthPixels } = model.config;
    const factors = await golden.floats(`step.${step}/drop_path`); // [blocks, 2, batch]
    return {
      pixels: await golden.floats(`step.${step}/images`),
      labels: Uint32Array.from(await golden.integers(`step.${step}/labels`)),
      mixing: mixingValues(stepMixing(golden.json.get("steps", step), [heightPixels, widthPixels])),
      // The first blocks, which never drop, have no rows.
      dropPath: factors.slice(factors.length - dropPath.rows * dropPath.batch),
    };
  }

  destroy(): void {
    this.#step.destroy();
    this.#forward.destroy();
    this.optimizer.destroy();
    this.lossScaling?.destroy();
    this.model.destroy();
  }
}

/** The decision of a step. Of a box the centre is not stored; it follows from the sides that are not at the border. */
export function stepMixing(step: Json, [height, width]: readonly [number, number]): Mixing {
  const lambda = step.get("drawn_lambda").number();
  if (step.get("mode").text() === "mixup") return mixupOf(lambda);
  const [top = 0, left = 0, bottom = 0, right = 0] = step.get("box_top_left_bottom_right").numbers();
  const [halfHeight, halfWidth] = cutmixHalves(lambda, [height, width]);
  const centreRow = top > 0 ? top + halfHeight : bottom - halfHeight;
  const centreColumn = left > 0 ? left + halfWidth : right - halfWidth;
  return cutmixOf({ lambda, centreRow, centreColumn }, [height, width]);
}
