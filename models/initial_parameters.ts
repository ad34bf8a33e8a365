import { type Arena, hostNormal, hostUniform, OptionError } from "../engine/index.ts";
import type { ParameterEntry } from "./parameters.ts";

/** Standard deviation of class and mask tokens (Facebook's MAE, `models_mae.py`). */
const tokenDeviation = 0.02;

/**
 * Writes start values as published: Xavier-uniform weights (qkv as three merged square matrices), zero biases, unit norms,
 * tokens from N(0, 0.02²).
 *
 * @param seed - the same seed gives the same values on every runtime
 */
export function initializeParameters(parameters: Arena, entries: readonly ParameterEntry[], seed: number): void {
  for (const entry of entries) parameters.device.write(parameters.get(entry.name), startValues(entry, seed));
}

/** Start values of one parameter; its name keeps its random numbers apart from those of the others. */
export function startValues(entry: ParameterEntry, seed: number): Float32Array {
  const { shape, initialization, name } = entry;
  const size = shape.reduce((product, length) => product * length, 1);
  if (initialization === "zeros") return new Float32Array(size);
  if (initialization === "ones") return new Float32Array(size).fill(1);
  const key = { seed, purpose: `initialize ${name}` };
  const [outputs = 1] = shape;
  const inputs = size / outputs;
  if (initialization === "token") return hostNormal(size, key).map((value) => tokenDeviation * value);
  if (initialization === "qkv" && outputs % 3 !== 0)
    throw new OptionError(`${name}: ${outputs} rows are not three matrices`);
  // Xavier & Bengio 2010, eq. 16: U(-a, a) with a = sqrt(6 / (inputs + outputs)).
  const fanOut = initialization === "qkv" ? outputs / 3 : outputs;
  const bound = Math.sqrt(6 / (inputs + fanOut));
  return hostUniform(size, key).map((value) => bound * (2 * value - 1));
}
