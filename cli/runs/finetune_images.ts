import { heldOut } from "../../refiner/data/sources/held_out.ts";
import { classifierAccuracy } from "../../refiner/evaluation/index.ts";
import type { AccuracyTest, FinetuneConfig, ImageSource } from "../../refiner/index.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { openTestImages } from "../program/open_images.ts";

/** The images of a fine-tuning. */
export interface FinetuneImages {
  readonly train: ImageSource;
  /** Undefined where nothing is measured. */
  readonly test: ImageSource | undefined;
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
  if (test === undefined) return { ...heldOut(source), opened: [source] };
  try {
    const images = await openTestImages(test, source, decoding, output);
    return { train: source, test: images, opened: [images, source] };
  } catch (error) {
    await source.close?.();
    throw error;
  }
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
