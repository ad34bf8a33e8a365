import { expect, it } from "vitest";
import { onGrid } from "../../../engine/core/number_grid.ts";
import { randomSource } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { canonicalFunctions, computed, unitsOff } from "./canonical_functions.ts";

const device = await testDevice({ reproducible: true });

const special = [
  0,
  -0,
  1,
  -1,
  2,
  0.5,
  Infinity,
  -Infinity,
  NaN,
  3.4028234663852886e38,
  2 ** -102,
  2 ** -126,
  1e-40,
  88.72283,
  -88,
  127,
  0.1,
];

/** Numbers of all sizes, half of them from 2^-8 to 2^8, and pairs of special ones. */
function sweep(count: number, seed: number): [Float32Array, Float32Array] {
  const random = randomSource(seed);
  const number = (): number => {
    const exponent = random() < 0.5 ? 16 * random() - 8 : 252 * random() - 125;
    return (random() < 0.3 ? -1 : 1) * (1 + random()) * 2 ** Math.floor(exponent);
  };
  const pairs = special.flatMap((a) => special.map((b): [number, number] => [a, b]));
  const values = (place: 0 | 1): Float32Array =>
    Float32Array.from({ length: count }, (_, i) => pairs[i]?.[place] ?? number());
  return [values(0).map(onGrid), values(1).map(onGrid)]; // as an upload makes them
}

/** CANONICAL_FUNCTIONS.md has the figures of a larger sweep and how to repeat it. */
const wanted = globalThis.process?.env.MIMREFINE_SWEEP;
const count = Number(wanted ?? 1 << 17);

it.each(canonicalFunctions)("$name is within $units units in the last place", { timeout: 600_000 }, async (f) => {
  const [a, b] = sweep(count, 1);
  const y = await computed(device, f, a, b);
  let worst = { units: 0, a: 0, b: 0, y: 0, exact: 0 };
  a.forEach((value, i) => {
    const exact = f.exact(value, b[i] ?? 0);
    const units = unitsOff(y[i] ?? 0, exact);
    if (units > worst.units) worst = { units, a: value, b: b[i] ?? 0, y: y[i] ?? 0, exact };
  });
  if (wanted !== undefined) console.log(`${f.name}: ${worst.units.toFixed(3)} at ${worst.a}, ${worst.b}`);
  expect(worst.units).toBeLessThanOrEqual(f.units);
});
