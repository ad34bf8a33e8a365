import { type Device, DeviceMixError } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import type { ImageBatch } from "../../data/batches/batches.ts";
import type { ImageSource } from "../../data/image_source.ts";
import { subset } from "../../data/sources/derived_sources.ts";
import type { RunStore } from "../../training/run_store.ts";
import type { TrainingEvent } from "../../training/training_events.ts";
import { trainingLoop } from "../../training/training_loop.ts";
import type { UpdatePlace } from "../../training/training_method.ts";
import { labelledImages, placesOfTest } from "../core/labelled_images.ts";
import { stratifiedSplit } from "../core/stratified_split.ts";
import { FeatureExtractor } from "../features/feature_extractor.ts";
import { matchChannels } from "../features/match_channels.ts";
import { RandomViews } from "../features/random_views.ts";
import { type LabelledRows, LinearProbeMethod, type ProbeEvent, requireBatch } from "./linear_probe_method.ts";
import { PlainFeatures } from "./plain_features.ts";
import type { LinearProbeConfig } from "./probe_config.ts";
import { probeBlocks, probeGrid, probePooling } from "./probe_grid.ts";
import { ProbeHeads } from "./probe_heads.ts";
import { type EndedProbe, type LinearProbeResult, outcome } from "./probe_outcome.ts";
import { ProbeLayout } from "./probe_rows.ts";

export interface LinearProbeOptions {
  readonly device: Device;
  /** Frozen. */
  readonly model: VisionTransformer;
  readonly train: ImageSource;
  /** With the labels of `train`; see `withLabelsOf`. */
  readonly test: ImageSource;
  readonly config: LinearProbeConfig;
  /** Takes metrics, checkpoints and the chosen head. */
  readonly store: RunStore;
  /** Go on from the newest checkpoint of the store, or from the beginning if none was written yet. */
  readonly resume?: boolean;
  /** Finishes the current update, saves, and ends the run. */
  readonly signal?: AbortSignal;
  /** Side of the square that the model sees; default its own. */
  readonly imagePixels?: number | undefined;
  /** Images decoded together; changes speed and memory only. */
  readonly decodedTogether?: number;
  /** Host memory for features; sets beyond it go to files of the store. Default: no bound. */
  readonly featureMemoryBytes?: number | undefined;
  /** What a user should know of the data and the memory. */
  readonly onNotice?: (text: string) => void;
  /** Trains further heads for {@link probeSensitivity}, which are never chosen, from the same encoded images. */
  readonly sensitivity?: boolean;
  /** Images encoded so far by the passes before training. */
  readonly onEncoded?: (images: number, total: number) => void;
}

/**
 * Trains a grid of linear classifiers on a frozen encoder in one pass (the linear probe of MIM-Refiner, arXiv 2402.10093), tests all of
 * them after every epoch, and chooses one on held-out training images, or on the test images as the publication does.
 *
 * @throws EvaluationError for data that cannot be learned from; CollapseError if all heads diverge; CheckpointError
 */
export async function* linearProbe(
  options: LinearProbeOptions,
): AsyncGenerator<ProbeEvent | TrainingEvent, LinearProbeResult> {
  const { device, model, config, store, resume, signal } = options;
  if (model.device !== device)
    throw new DeviceMixError("linearProbe: the model lives on another device; give the device that it was loaded on");
  const prepared = await prepare(options);
  try {
    const { method, images, resizeTo } = prepared;
    const run = { images, resizeTo, settings: config, store, resume, signal };
    const { finished, updates } = yield* trainingLoop(method, run);
    return { finished, updates, ...(await outcome(prepared, finished)) };
  } finally {
    await prepared.destroy();
  }
}

interface Prepared extends EndedProbe {
  /** What the loop feeds. */
  readonly images: ImageSource;
  readonly resizeTo: number;
  readonly destroy: () => Promise<void>;
}

/** Encodes what is encoded once, and records the programs. */
async function prepare(options: LinearProbeOptions): Promise<Prepared> {
  const { device, model, config, store, imagePixels, onNotice } = options;
  const labelled = labelledImages("linear probe", options.train, options.test);
  for (const text of labelled.notices) onNotice?.(text);
  const grid = probeGrid(model.config, { ...config, compared: options.sensitivity === true });
  const { train, heldOut } = parts(labelled.train, config);
  requireBatch("linear probe", train.length, config.batch); // before anything is encoded
  const extraction = {
    blocks: probeBlocks(model.config),
    pooling: probePooling(model.config),
    fit: config.fit,
    ...(imagePixels === undefined ? {} : { imagePixels }),
  };
  const extractor = new FeatureExtractor(model, extraction);
  const layout = new ProbeLayout(grid, extractor.width, extraction.pooling === "avg" ? 1 : 2);
  const plain = new PlainFeatures(
    extractor,
    layout,
    { ...options, maxBad: config.maxBad, memoryBytes: options.featureMemoryBytes },
    [labelled.test, heldOut, config.cache ? train : undefined],
  );
  try {
    const test = await plain.encode(labelled.test, "test");
    const held = heldOut && (await plain.encode(heldOut, "held-out"));
    const cached = config.cache ? await plain.encode(train, "train") : undefined;
    extractor.destroy();
    const matched = matchChannels(train, extractor.channels);
    const views = cached ? undefined : new RandomViews(model, matched, extractor);
    const images = cached ? withoutPixels(cached) : matched;
    const featuresOf = async (batch: ImageBatch, { epoch }: UpdatePlace) =>
      cached
        ? cached.rows.gather(batch.indices)
        : layout.arrange((await views?.rows(batch, config.seed, epoch)) ?? [], batch.images.length);
    requireBatch("linear probe", images.length, config.batch); // broken ones are left out by now
    const heads = new ProbeHeads(device, grid, labelled.classNames.length);
    const data = { images: images.length, featuresOf, heldOut: held, test };
    const metadata = { protocol: "linear probe", classes: JSON.stringify(labelled.classNames) };
    const method = new LinearProbeMethod(heads, config, data, store, metadata);
    onNotice?.(memoryText(method.plannedBytes + (views?.plannedBytes ?? 0), plain.bytes));
    return {
      grid,
      method,
      images,
      trainImages: images.length,
      resizeTo: views?.resizeTo ?? 1,
      classNames: labelled.classNames,
      classImages: countedBy(labelled.train, labelled.classNames.length),
      heldOut: held,
      test,
      testIndices: placesOfTest(labelled, test.indices),
      destroy: async () => {
        method.destroy();
        views?.destroy();
        await plain.destroy();
      },
    };
  } catch (error) {
    extractor.destroy();
    await plain.destroy();
    throw error;
  }
}

function memoryText(deviceBytes: number, features: { readonly memory: number; readonly disk: number }): string {
  const text = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const onDisk = features.disk > 0 ? `, and ${text(features.disk)} of them on disk` : "";
  return `planned: ${text(deviceBytes)} on the device beside the encoder's weights; features take ${text(features.memory)} of host memory${onDisk}`;
}

/** Training images that are trained on, and those that are held out to choose. */
function parts(
  train: ImageSource,
  config: LinearProbeConfig,
): { readonly train: ImageSource; readonly heldOut: ImageSource | undefined } {
  if (config.select === "test") return { train, heldOut: undefined };
  const labels = Int32Array.from({ length: train.length }, (_, i) => train.label(i) ?? -1);
  const split = stratifiedSplit(labels, config.holdOut, config.seed);
  return { train: subset(train, split.kept), heldOut: subset(train, split.heldOut) };
}

/** Images of each class. */
function countedBy(source: ImageSource, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let index = 0; index < source.length; index++) {
    const label = source.label(index) ?? -1;
    counts[label] = (counts[label] ?? 0) + 1;
  }
  return counts;
}

/** A source for a training that knows the features of its images already: order and labels without decoding. */
function withoutPixels({ labels }: LabelledRows): ImageSource {
  const pixel = { width: 1, height: 1, channels: 1, data: new Uint8Array(1) } as const;
  return {
    length: labels.length,
    channels: 1,
    label: (index) => labels[index],
    name: (index) => `row ${index}`,
    load: async () => pixel,
  };
}
