import { openCheckpoint } from "../../engine/files/index.ts";
import { OptionError } from "../../engine/index.ts";
import { fileSource } from "../../engine/platform/files_node.ts";
import { IncompleteWeightsError, loadMae } from "../../models/checkpoints/index.ts";
import { EvaluationError, reconstructionOfBlocks } from "../../refiner/evaluation/index.ts";
import type { Output } from "../output/streams.ts";
import { encoderOptions } from "../program/options.ts";
import type { EvaluationJob, EvaluationOptions } from "./evaluation_job.ts";

export interface ReconstructionCommandOptions extends EvaluationOptions {
  readonly decoderHeads?: number;
  readonly reconstructionImages: number;
}

/** Reconstruction loss per block, or undefined where the weights hold no decoder that can be used; says why. */
export async function reconstructionOf(
  { device, test }: EvaluationJob,
  options: ReconstructionCommandOptions,
  output: Output,
): Promise<number[] | undefined> {
  if (options.reconstructionImages === 0) return undefined;
  const checkpoint = await openCheckpoint(await fileSource(options.weights));
  try {
    const { decoderHeads } = options;
    const mae = { ...encoderOptions(options), ...(decoderHeads === undefined ? {} : { decoderHeads }) };
    const { model } = await loadMae(device, checkpoint, mae, options.weights);
    return await reconstructionOfBlocks(device, model, test, {
      images: options.reconstructionImages,
      seed: options.seed,
      maxBad: 1, // the k-NN evaluation has judged them
    });
  } catch (error) {
    const isKnown = [IncompleteWeightsError, OptionError, EvaluationError].some((kind) => error instanceof kind);
    if (!(error instanceof Error) || !isKnown) throw error;
    output.notice(`reconstruction is not measured: ${error.message}`);
    return undefined;
  } finally {
    await checkpoint.close();
  }
}
