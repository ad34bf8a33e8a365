import type { Device } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import { occurringClasses } from "../../refiner/data/index.ts";
import { heldOut } from "../../refiner/data/sources/held_out.ts";
import { type ImageSource, knnOfBlocks, type RefineConfig } from "../../refiner/index.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { openTestImages } from "../program/open_images.ts";

/** Images that k-NN accuracy is measured with. */
export interface Evaluation {
  readonly bank: ImageSource;
  readonly queries: ImageSource;
}

/** Every fifth image as queries, the others as bank. */
export function heldOutEvaluation(source: ImageSource): Evaluation {
  const { train, test } = heldOut(source);
  return { bank: train, queries: test };
}

/** Bank and queries of a run, or undefined without labels. @param inputs - path of labelled test images */
export async function evaluationOf(
  source: ImageSource,
  { test, imageKey }: { readonly test?: string | undefined; readonly imageKey?: string | undefined },
  output: Output,
): Promise<Evaluation | undefined> {
  if (occurringClasses(source).size === 0) {
    if (test !== undefined) output.notice("the training images have no labels, so k-NN accuracy is not measured");
    return undefined;
  }
  if (test === undefined) return heldOutEvaluation(source);
  const queries = await openTestImages(test, source, { channels: source.channels, imageKey }, output);
  return { bank: source, queries };
}

/** k-NN accuracy of every block. Broken images are left out; training has reported them. */
export async function measured(
  device: Device,
  model: VisionTransformer,
  { bank, queries }: Evaluation,
  { config, signal }: { readonly config: RefineConfig; readonly signal: AbortSignal },
  output: Output,
): Promise<readonly number[]> {
  const k = Math.min(config.k, bank.length);
  if (k < config.k) output.notice(`k-NN: k is ${k} instead of ${config.k}, since the bank holds ${bank.length} images`);
  const progress = new Progress(output, bank.length + queries.length, "images encoded");
  try {
    const { accuracy } = await knnOfBlocks(device, model, bank, queries, {
      k,
      temperature: config.kTemperature,
      pooling: config.pooling,
      maxBad: config.maxBad,
      signal,
      onProgress: (done) => progress.update(done),
    });
    return accuracy;
  } finally {
    progress.end();
  }
}
