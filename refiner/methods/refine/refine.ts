import type { VisionTransformer } from "../../../models/index.ts";
import { refuseSmallImages } from "../../data/batches/small_images.ts";
import { asImageSource, type ImageInput } from "../../data/sources/image_input.ts";
import { type Exchange, oneRank } from "../../exchange/exchange.ts";
import { type RunStore, readOnly } from "../../training/run_store.ts";
import { trainingLoop } from "../../training/training_loop.ts";
import { watchTraining } from "../../verification/watch_training.ts";
import type { RefineConfig } from "./refine_config.ts";
import type { KnnOfRun, RefineEvent } from "./refine_events.ts";
import { type KnnEvaluation, RefineMethod } from "./refine_method.ts";
import { decodedSide } from "./refine_views.ts";

export type { EvaluatedWeights, RefineEvent } from "./refine_events.ts";

export interface RefineOptions {
  /** The pre-trained encoder; stage 3 trains it in place. */
  readonly encoder: VisionTransformer;
  readonly images: ImageInput;
  readonly config: RefineConfig;
  /** Where checkpoints, metrics and results go. */
  readonly store: RunStore;
  /** Go on from the newest checkpoint of the store, or from the beginning if none was written yet. */
  readonly resume?: boolean;
  /** Memory of the host process in bytes, for the metrics. */
  readonly hostBytes?: () => number;
  /** What run checkpoints say about where the run came from, such as a digest of its weights; asked for with the first of them. */
  readonly origin?: () => Promise<Readonly<Record<string, string>>>;
  /** Finishes the current update, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /** Completed updates of all stages after which the run stops as by its signal, such as to verify them. */
  readonly until?: number;
  /**
   * Called first in a run that is not resumed, with a function that records the programs of all stages without running them:
   * a place for `tuneProgram`, so that the kernel variants are chosen before anything is computed.
   */
  readonly tune?: (record: () => void) => Promise<unknown>;
  /** k-NN accuracy per block, first to last; called before, after stage 2, every `evalEvery` epochs, and after stage 3. */
  readonly evaluate?: KnnEvaluation;
  /** Of several processes that refine together; default: this one alone. */
  readonly exchange?: Exchange;
}

export interface RefineResult {
  readonly finished: boolean;
  /** Completed updates of both stages. */
  readonly updates: number;
  /** Updates of the encoder that f16 overflow skipped; with precision f16. */
  readonly skippedUpdates?: number;
  /** k-NN accuracy per block, where it was evaluated. */
  readonly knn: KnnOfRun;
  /** The moving average of the encoder: what users take away. */
  readonly ema: VisionTransformer;
}

/**
 * Refines an encoder: stage 2 trains the heads, stage 3 heads and encoder (arXiv 2402.10093). The same configuration, data and
 * device give the same bytes, interrupted or not.
 *
 * @throws OptionError, DataError, CheckpointError, CollapseError; MissingFeatureError for f16 on a device without it
 */
export async function* refine(options: RefineOptions): AsyncGenerator<RefineEvent, RefineResult> {
  const { encoder, config, resume, signal, until, hostBytes, origin, tune, evaluate, exchange = oneRank } = options;
  const store = exchange.rank === 0 ? options.store : readOnly(options.store);
  const images = await asImageSource(options.images);
  const resizeTo = decodedSide(config, encoder.config);
  const viewPixels = config.globalPixels || encoder.config.heightPixels;
  if (!config.enlarge) await refuseSmallImages("refine", images, { viewPixels, resizeTo });
  const method = new RefineMethod(encoder, config, images, evaluate, exchange);
  let watch: ReturnType<typeof watchTraining>;
  try {
    if (tune && !resume) await tune(() => method.recordStages());
    watch = watchTraining(method, config, store, exchange);
    const progress = { store, resume, signal, until, exchange, watch };
    const run = { images, resizeTo, settings: config, ...progress, hostBytes, origin };
    const { finished, updates, skipped } = yield* trainingLoop(method, run);
    const skippedUpdates = config.precision === "f16" ? { skippedUpdates: skipped } : {};
    return { finished, updates, ...skippedUpdates, knn: method.knn, ema: await method.handOut() };
  } finally {
    watch?.destroy();
    await method.close();
  }
}
