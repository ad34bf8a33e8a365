import type { Device } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import { occurringClasses } from "../../refiner/data/index.ts";
import { heldOut } from "../../refiner/data/sources/held_out.ts";
import { type ImageSource, knnOfBlocks, type RefineConfig } from "../../refiner/index.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { openTestImages } from "../program/open_images.ts";
import type { PlacedImages } from "./fingerprint.ts";
import { firstOf } from "./report_pictures.ts";
import type { RunInputs } from "./stored_run.ts";

/** Images that k-NN accuracy is measured with. */
export interface Evaluation {
  readonly bank: ImageSource;
  readonly queries: ImageSource;
  /** What was opened for it alone, by its path; to be closed. */
  readonly test?: PlacedImages;
}

/** Every fifth image as queries, the others as bank. */
export function heldOutEvaluation(source: ImageSource): Evaluation {
  const { train, test } = heldOut(source);
  return { bank: train, queries: test };
}

/** Bank and queries of a run, or undefined without labels, which is told. @param inputs - path of labelled test images */
export async function evaluationOf(
  source: ImageSource,
  { test, imageKey, firstTestImages }: Pick<RunInputs, "test" | "imageKey" | "firstTestImages">,
  output: Output,
): Promise<Evaluation | undefined> {
  if (occurringClasses(source).size === 0) {
    if (test !== undefined) output.notice("the training images have no labels, so k-NN accuracy is not measured");
    return undefined;
  }
  if (test === undefined) return labelled(heldOutEvaluation(source), output);
  const queries = await openTestImages(test, source, { channels: source.channels, imageKey }, output);
  const tested = firstTestImages === undefined ? queries : firstOf(queries, firstTestImages);
  return labelled({ bank: source, queries: tested, test: { path: test, source: queries } }, output);
}

/** A set with few labels may have none among the images that are held out. */
async function labelled(evaluation: Evaluation, output: Output): Promise<Evaluation | undefined> {
  const { bank, queries, test } = evaluation;
  const without = [
    ...(occurringClasses(bank).size === 0 ? ["training"] : []),
    ...(occurringClasses(queries).size === 0 ? ["test"] : []),
  ];
  if (without.length === 0) return evaluation;
  await test?.source.close?.();
  output.notice(`none of the ${without.join(" and ")} images has a label, so k-NN accuracy is not measured`);
  return undefined;
}

/** k-NN accuracy of every block. Broken images are left out; training has reported them. */
export async function measured(
  device: Device,
  model: VisionTransformer,
  { bank, queries }: Evaluation,
  { config, signal }: { readonly config: RefineConfig; readonly signal: AbortSignal },
  output: Output,
): Promise<readonly number[]> {
  const progress = new Progress(output, bank.length + queries.length, "images encoded");
  try {
    const { accuracy } = await knnOfBlocks(device, model, bank, queries, {
      k: config.k,
      onSmallBank: (k) => output.notice(`k-NN: k is ${k} instead of ${config.k}, since the bank holds ${k} images`),
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
