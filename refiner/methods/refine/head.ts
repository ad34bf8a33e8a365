import {
  type Arena,
  type ArenaEntry,
  batchNorm,
  detach,
  linear,
  programOf,
  rows,
  type Tensor,
} from "../../../engine/index.ts";
import { type ContrastiveLoss, contrastiveLoss, type ViewLayout } from "./contrastive_loss.ts";
import type { MetricsRow } from "./contrastive_summary.ts";
import type { NeighbourQueue, Neighbours } from "./queue.ts";

/** Widths of a contrastive head. */
export interface HeadConfig {
  /** Encoder width D. */
  readonly inputWidth: number;
  readonly projectorWidth: number;
  readonly predictorWidth: number;
  /** P, width of projections and predictions. */
  readonly outputWidth: number;
  readonly queueLength: number;
  /** Hidden layers of the projector between its first and last one. Default 1, as published. */
  readonly projectorHiddenLayers?: number;
  /** The same for the predictor. Default 0. */
  readonly predictorHiddenLayers?: number;
}

/** BN of the heads (PyTorch defaults, as published). */
const batchNormEpsilon = 1e-5;
const batchNormMomentum = 0.1;

interface HeadLayer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly activation: "gelu" | undefined;
}

/** Linear and BN layers of a head under their published names: `projector.i.0` linear, `projector.i.1` batch norm. */
export function headLayers(config: HeadConfig): { projector: HeadLayer[]; predictor: HeadLayer[] } {
  const { inputWidth, projectorWidth, predictorWidth, outputWidth } = config;
  return {
    projector: layersOf("projector", inputWidth, projectorWidth, outputWidth, config.projectorHiddenLayers ?? 1),
    predictor: layersOf("predictor", outputWidth, predictorWidth, outputWidth, config.predictorHiddenLayers ?? 0),
  };
}

/** First layer, hidden ones and the last one, which has no activation. */
function layersOf(name: string, inputs: number, hidden: number, outputs: number, hiddenLayers: number): HeadLayer[] {
  const widths = [inputs, ...new Array<number>(hiddenLayers + 1).fill(hidden), outputs];
  return widths.slice(1).map((width, i) => ({
    name: `${name}.${i}`,
    inputs: widths[i] ?? inputs,
    outputs: width,
    activation: i < hiddenLayers + 1 ? "gelu" : undefined,
  }));
}

/** Trained parameters of a head. */
export function headParameters(config: HeadConfig, prefix = ""): ArenaEntry[] {
  const { projector, predictor } = headLayers(config);
  return [...projector, ...predictor].flatMap(({ name, inputs, outputs }) => [
    { name: `${prefix}${name}.0.weight`, shape: [outputs, inputs] },
    { name: `${prefix}${name}.1.weight`, shape: [outputs] },
    { name: `${prefix}${name}.1.bias`, shape: [outputs] },
  ]);
}

/** Running estimates of a head's batch norms. */
export function headStatistics(config: HeadConfig, prefix = ""): ArenaEntry[] {
  const { projector, predictor } = headLayers(config);
  return [...projector, ...predictor].flatMap(({ name, outputs }) => [
    { name: `${prefix}${name}.1.running_mean`, shape: [outputs] },
    { name: `${prefix}${name}.1.running_var`, shape: [outputs] },
  ]);
}

/** Counters of a head's batch norms, `[1]` u32 each. */
export function headCounters(config: HeadConfig, prefix = ""): ArenaEntry[] {
  const { projector, predictor } = headLayers(config);
  return [...projector, ...predictor].map(({ name }) => ({
    name: `${prefix}${name}.1.num_batches_tracked`,
    shape: [1],
  }));
}

/** Which rows the neighbours replace in the logits: the positives (published), all columns, or none. */
export type Swap = "positives" | "all" | "none";

export interface HeadForwardOptions {
  readonly layout: ViewLayout;
  readonly temperature: number;
  readonly topK: number;
  readonly swap: Swap;
  readonly oracle?: boolean;
  /** Batch statistics, own-sample exclusion and queue insertion; evaluation uses running estimates and changes nothing. */
  readonly training: boolean;
  /** Sample index and class of each batch entry, `[B]` i32. */
  readonly samples: Tensor;
  readonly classes: Tensor;
  /** Rank of the neighbour to take per global row, `[V_g · B]` u32. */
  readonly choice: Tensor;
  /** Projections of a teacher's features to look up and align to, instead of the head's own (EMA teacher). */
  readonly teacherProjections?: Tensor;
  /** Row of a table that takes the metrics of several heads. */
  readonly metrics?: MetricsRow;
}

/** What one head computes for a batch. */
export interface HeadResult extends ContrastiveLoss {
  readonly projected: Tensor;
  readonly predicted: Tensor;
  /** The first V_g · B projections, detached: what is looked up and stored. */
  readonly anchors: Tensor;
  readonly neighbours: Neighbours;
}

/** Projector, predictor and queue on pooled features of one block (arXiv 2402.10093, § 3). */
export class ContrastiveHead {
  constructor(
    readonly config: HeadConfig,
    readonly parameters: Arena,
    readonly statistics: Arena,
    /** Numbers of batches that the running estimates have seen, u32. */
    readonly batches: Arena,
    readonly queue: NeighbourQueue,
    /** Prefix of this head's names in the arenas. */
    readonly prefix = "",
  ) {}

  /** `[R, D]` → `[R, P]` */
  project(x: Tensor, training: boolean): Tensor {
    return this.#layers(headLayers(this.config).projector, x, training);
  }

  /** `[R, P]` → `[R, P]` */
  predict(projected: Tensor, training: boolean): Tensor {
    return this.#layers(headLayers(this.config).predictor, projected, training);
  }

  /**
   * Loss and metrics of pooled features; in training the queue takes the projections of view 0 afterwards.
   *
   * @param features - pooled features of all views, `[V · B, D]`, view-major, global views first
   */
  forward(features: Tensor, options: HeadForwardOptions): HeadResult {
    const { layout, training, samples, classes, choice, swap, temperature, topK, oracle, metrics } = options;
    const projected = this.project(features, training);
    const predicted = this.predict(projected, training);
    const views = options.teacherProjections ?? projected;
    const anchors = detach(rows(views, 0, layout.globalViews * layout.batch)); // only predictions receive a gradient
    const neighbours = this.queue.lookup(anchors, {
      k: topK,
      classes,
      choice,
      ...(training ? { samples } : {}),
      ...(oracle ? { oracle } : {}),
    });
    const { own, swapped, slots, chosen } = neighbours;
    const loss = contrastiveLoss(swap === "all" ? swapped : own, swap === "none" ? own : swapped, predicted, {
      ...layout,
      temperature,
      neighbours: { slots, similarities: chosen, classes, queue: this.queue, stored: training ? layout.batch : 0 },
      ...(metrics ? { metrics } : {}),
    });
    if (training) this.queue.insert(programOf("head", anchors), rows(anchors, 0, layout.batch), samples, classes);
    return { ...loss, projected, predicted, anchors, neighbours };
  }

  #layers(layers: readonly HeadLayer[], x: Tensor, training: boolean): Tensor {
    return layers.reduce((value, { name, activation }) => {
      const at = `${this.prefix}${name}`;
      return batchNorm(linear(value, this.parameters.get(`${at}.0.weight`)), {
        statistics: {
          batches: this.batches.get(`${at}.1.num_batches_tracked`),
          mean: this.statistics.get(`${at}.1.running_mean`),
          variance: this.statistics.get(`${at}.1.running_var`),
        },
        mode: training ? "training" : "evaluation",
        weight: this.parameters.get(`${at}.1.weight`),
        bias: this.parameters.get(`${at}.1.bias`),
        epsilon: batchNormEpsilon,
        momentum: batchNormMomentum,
        ...(activation ? { activation } : {}),
      });
    }, x);
  }
}
