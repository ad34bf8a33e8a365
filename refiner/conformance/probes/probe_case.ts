import type { ProbeGrid, ProbeHead } from "../../evaluation/probes/probe_grid.ts";
import type { ProbeHeads } from "../../evaluation/probes/probe_heads.ts";
import type { GoldenCase } from "../fixture.ts";

/** Absolute bounds of a computation in f32; measured differences of the authors' own code from float64 are a tenth of them. */
export const bounds = {
  losses: 5e-6,
  gradients: 5e-6,
  weights: 2e-5,
  batchNorm: 1e-5,
  logits: 1e-4,
  rate: 1e-12,
} as const;

/** Sizes of a case, and its parts under test. */
export interface Probe {
  readonly golden: GoldenCase;
  readonly grid: ProbeGrid;
  readonly heads: ProbeHeads;
  readonly classes: number;
  readonly batch: number;
  readonly epochs: number;
  readonly updatesPerEpoch: number;
  readonly rateBatch: number;
}

/** `cls last1, rate 0.001` is `lr0001_cls_last1`. */
export function storedName(grid: ProbeGrid, head: ProbeHead): string {
  return `lr${decimals(grid.rates[head.rate] ?? 0)}_${storedFeature(grid, head.feature)}`;
}

function decimals(rate: number): string {
  return rate.toFixed(6).replace(".", "").replace(/0+$/, "");
}

export function storedFeature(grid: ProbeGrid, feature: number): string {
  return (grid.features[feature]?.name ?? "").replace("cls+avg", "concat").replace(" ", "_");
}

/** Heads of a feature, in the order of their rates. */
export function headsOf(grid: ProbeGrid, feature: number): readonly ProbeHead[] {
  return grid.heads.filter((head) => head.feature === feature);
}

/** max |a − b|, whatever the size of the values. */
export async function compareAbsolute(
  golden: GoldenCase,
  name: string,
  actual: ArrayLike<number>,
  bound: number,
): Promise<void> {
  const expected = await golden.floats(name);
  let worst = actual.length === expected.length ? 0 : Number.POSITIVE_INFINITY;
  expected.forEach((value, i) => {
    const difference = Math.abs((actual[i] ?? Number.NaN) - value);
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  });
  golden.addError(name, worst, bound);
}
