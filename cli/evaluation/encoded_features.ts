import type { Pooling } from "../../models/index.ts";
import { BrokenImages } from "../../refiner/data/decoding/broken_images.ts";
import type { ImageSource } from "../../refiner/data/index.ts";
import {
  type BlockFeatures,
  collectFeatures,
  defaultPooling,
  encodingOfChanges,
  type FeatureBlock,
  type FeatureChoice,
  FeatureExtractor,
  type FeatureOptions,
  featuresOf,
} from "../../refiner/evaluation/index.ts";
import { Progress } from "../output/progress.ts";
import { UsageError } from "../program/usage_error.ts";
import type { ProtocolOptions, ProtocolRun } from "./protocol.ts";

/** Options of protocols that work on the features of one block. */
export interface BlockOptions extends ProtocolOptions {
  readonly block?: FeatureBlock;
  readonly pool?: Pooling;
}

/**
 * The block that `--block` names; else the raw output of the last one, as published low-shot and cluster evaluations take it.
 *
 * @throws UsageError for one that the encoder does not have
 */
export function chosenBlock(
  protocol: string,
  { model }: Pick<ProtocolRun, "model">,
  { block }: BlockOptions,
): FeatureBlock {
  const { blocks } = model.config;
  if (block === undefined) return blocks - 1;
  if (block !== "last" && block >= blocks)
    throw new UsageError(`evaluate ${protocol}: --block ${block} does not exist; choose 0 … ${blocks - 1}, or last`);
  return block;
}

/** What the number of a protocol is of: the chosen block, pooled as the options say. */
export function featureChoice(
  { model }: Pick<ProtocolRun, "model">,
  block: FeatureBlock,
  { pool }: Pick<BlockOptions, "pool">,
): FeatureChoice {
  return { blocks: [block], pooling: pool ?? defaultPooling(model.config) };
}

/** What to encode: that choice, or with `--sensitivity` all that it is compared with, too. */
export function encodingFor(
  { model }: Pick<ProtocolRun, "model">,
  choice: FeatureChoice,
  { sensitivity }: Pick<ProtocolOptions, "sensitivity">,
): Required<Pick<FeatureOptions, "pooling">> & { readonly blocks: readonly FeatureBlock[] } {
  return sensitivity ? encodingOfChanges(model.config, choice) : choice;
}

/** The features of single blocks among those that `encodingFor` had encoded. */
export function narrowed(
  encoded: BlockFeatures,
  blocks: readonly FeatureBlock[],
  { pooling }: FeatureChoice,
  { model }: Pick<ProtocolRun, "model">,
): BlockFeatures {
  const encodedAs = model.config.classTokens > 0 ? "cls+avg" : "avg";
  const features = blocks.map((block) => featuresOf(encoded, { blocks: [block], pooling }, encodedAs));
  return { ...encoded, blocks, features };
}

/**
 * Features of several sets of images, with progress on stderr. Broken images are left out; `--max-bad` is their share
 * among all of them.
 *
 * @returns in the order of the sources
 * @throws the reason of the signal, if it comes meanwhile
 */
export async function encodedFeatures(
  run: ProtocolRun,
  sources: readonly ImageSource[],
  { blocks, pooling }: Required<Pick<FeatureOptions, "blocks" | "pooling">>,
  { imageSize, maxBad }: BlockOptions,
): Promise<BlockFeatures[]> {
  const { model, output, signal } = run;
  const total = sources.reduce((sum, { length }) => sum + length, 0);
  const broken = new BrokenImages(total, { maxBad, onBroken: (error) => output.warning(error.message) });
  const size = imageSize === undefined ? {} : { imagePixels: imageSize };
  const extractor = new FeatureExtractor(model, { blocks, pooling, ...size });
  const progress = new Progress(output, total, "images");
  const encoded: BlockFeatures[] = [];
  let first = 0;
  try {
    for (const source of sources) {
      const from = first;
      encoded.push(
        await collectFeatures(extractor, source, {
          signal,
          maxBad: 1,
          onBroken: (error, index) => broken.add(from + index, error),
          onProgress: (done) => progress.update(from + done),
        }),
      );
      first += source.length;
    }
  } finally {
    progress.end();
    extractor.destroy();
  }
  return encoded;
}
