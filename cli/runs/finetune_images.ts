import { occurringClasses } from "../../refiner/data/index.ts";
import { heldOut } from "../../refiner/data/sources/held_out.ts";
import { classifierAccuracy } from "../../refiner/evaluation/index.ts";
import type { AccuracyTest, FinetuneConfig, ImageSource } from "../../refiner/index.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { openTestImages } from "../program/open_images.ts";
import type { PlacedImages } from "./fingerprint.ts";

/** The images of a fine-tuning. */
export interface FinetuneImages {
  readonly train: ImageSource;
  /** Undefined where nothing is measured. */
  readonly test: ImageSource | undefined;
  /** What was opened for the tests alone, by its path. */
  readonly placedTest?: PlacedImages;
  /** All that was opened. */
  readonly opened: readonly ImageSource[];
}

/** Training and test images: those of `--test`, every fifth of the given ones, or all to train on where nothing is measured. */
export async function openFinetuneImages(
  source: ImageSource,
  {
    test,
    evaluate,
    decoding,
  }: {
    readonly test: string | undefined;
    readonly evaluate: boolean;
    readonly decoding: Parameters<typeof openTestImages>[2];
  },
  output: Output,
): Promise<FinetuneImages> {
  if (!evaluate) return { train: source, test: undefined, opened: [source] };
  if (test === undefined) return labelled({ ...heldOut(source), opened: [source] }, output);
  try {
    const images = await openTestImages(test, source, decoding, output);
    const placedTest = { path: test, source: images };
    return labelled({ train: source, test: images, placedTest, opened: [images, source] }, output);
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

/** A set with few labels may have none among the test images. */
function labelled(images: FinetuneImages, output: Output): FinetuneImages {
  if (images.test && occurringClasses(images.test).size > 0) return images;
  output.notice("none of the test images has a label, so accuracy is not measured");
  return { ...images, test: undefined };
}

export async function closeFinetuneImages({ opened }: FinetuneImages): Promise<void> {
  for (const source of opened) await source.close?.();
}

/** Top-1 accuracy on test images. Broken ones are left out. */
export function testedBy(
  test: ImageSource,
  { config, signal }: { readonly config: FinetuneConfig; readonly signal: AbortSignal },
  output: Output,
): AccuracyTest {
  return async (model) => {
    const progress = new Progress(output, test.length, "test images");
    try {
      return await classifierAccuracy(model, test, {
        maxBad: config.maxBad,
        signal,
        onProgress: (done) => progress.update(done),
      });
    } finally {
      progress.end();
    }
  };
}
