import type { FeatureMatrix } from "../../../refiner/evaluation/index.ts";

/** Reproducible values in [-1, 1). */
export function scatteredRows(rows: number, columns: number, seed: number): FeatureMatrix {
  let state = seed >>> 0;
  const data = Float32Array.from({ length: rows * columns }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return { rows, columns, data };
}
