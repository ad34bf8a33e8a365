import { resolve } from "node:path";
import { encoderInputs } from "../program/options.ts";
import { UsageError } from "../program/usage_error.ts";
import type { RunInputs } from "./stored_run.ts";

/** Inputs of a refinement or a fine-tuning with those that it cannot do without. */
export type FilledInputs = Partial<RunInputs> & { readonly weights: string; readonly images: string };

/** @throws UsageError */
export function requireFiles(command: "refine" | "finetune", inputs: Partial<RunInputs>): FilledInputs {
  const { weights, images } = inputs;
  if (weights === undefined || images === undefined)
    throw new UsageError(`${command}: --weights and --images are needed`);
  return { ...inputs, weights, images };
}

/** Inputs as they are stored, by paths that hold wherever the run is gone on with. */
export function storedInputs(inputs: FilledInputs): RunInputs {
  const { weights, images, test, imageCount, firstImages, firstTestImages, fingerprint, evaluate } = inputs;
  return {
    weights: resolve(weights),
    images: resolve(images),
    ...(imageCount === undefined ? {} : { imageCount }),
    ...(firstImages === undefined ? {} : { firstImages }),
    ...(firstTestImages === undefined ? {} : { firstTestImages }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(evaluate === undefined ? {} : { evaluate }),
    ...(test === undefined ? {} : { test: resolve(test) }),
    ...(inputs.imageKey === undefined ? {} : { imageKey: inputs.imageKey }),
    ...(inputs.dataSet === undefined ? {} : { dataSet: inputs.dataSet }),
    ...encoderInputs(inputs),
  };
}
