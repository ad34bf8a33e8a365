import { type Arena, hostNormal, hostUniform, OptionError } from "../engine/index.ts";
import type { ParameterEntry } from "./parameters.ts";

/** Standard deviation of class and mask tokens (Facebook's MAE, `models_mae.py`). */
const tokenDeviation = 0.02;

/** Standard deviation of the head of a classifier (MAE's fine-tuning, `main_finetune.py`). */
const headDeviation = 2e-5;

export interface StartOptions {
  /**
   * Start value of LayerScale's factors. Default 1e-5: DINOv2, and CaiT of 24 blocks (arXiv 2103.17239, § 2); DeiT III has
   * 1e-4, CaiT 0.1 up to 18 blocks.
   */
  readonly layerScale?: number;
}

/**
 * Writes start values as published: Xavier-uniform weights (qkv as three merged square matrices), zero biases, unit norms,
 * tokens from N(0, 0.02²), LayerScale's factors all the same.
 *
 * @param seed - the same seed gives the same values on every runtime
 * @throws OptionError for a LayerScale that is no finite number
 */
export function initializeParameters(
  parameters: Arena,
  entries: readonly ParameterEntry[],
  seed: number,
  options: StartOptions = {},
): void {
  for (const entry of entries) parameters.device.write(parameters.get(entry.name), startValues(entry, seed, options));
}

/** Start values of one parameter; its name keeps its random numbers apart from those of the others. */
export function startValues(
  entry: ParameterEntry,
  seed: number,
  { layerScale = 1e-5 }: StartOptions = {},
): Float32Array {
  const { shape, initialization, name } = entry;
  const size = shape.reduce((product, length) => product * length, 1);
  if (initialization === "zeros") return new Float32Array(size);
  if (initialization === "ones") return new Float32Array(size).fill(1);
  if (initialization === "layer-scale") {
    if (!Number.isFinite(layerScale))
      throw new OptionError(`${name}: a start value of ${layerScale}; give a finite number, such as 1e-5`);
    return new Float32Array(size).fill(layerScale);
  }
  const key = { seed, purpose: `initialize ${name}` };
  const [outputs = 1] = shape;
  const inputs = size / outputs;
  if (initialization === "head") return hostNormal(size, key).map((value) => headDeviation * value);
  if (initialization === "token") return hostNormal(size, key).map((value) => tokenDeviation * value);
  if (initialization === "qkv" && outputs % 3 !== 0)
    throw new OptionError(`${name}: ${outputs} rows are not three matrices`);
  // Xavier & Bengio 2010, eq. 16: U(-a, a) with a = sqrt(6 / (inputs + outputs)).
  const fanOut = initialization === "qkv" ? outputs / 3 : outputs;
  const bound = Math.sqrt(6 / (inputs + fanOut));
  return hostUniform(size, key).map((value) => bound * (2 * value - 1));
}
