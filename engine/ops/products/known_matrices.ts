import type { MatrixShape } from "../../core/device_parts.ts";

/** Matrices that adapters are known to list, with the subgroup size that they want. */
export interface KnownMatrices {
  readonly adapters: string;
  readonly shape: MatrixShape;
  readonly subgroupSize: number;
}

const half = { component: "f16", result: "f32" } as const;

/** One of each kind: tests generate kernels for all of them, and only lavapipe's were run. */
export const knownMatrices: readonly KnownMatrices[] = [
  { adapters: "lavapipe", shape: { rows: 8, columns: 8, depth: 8, ...half }, subgroupSize: 8 },
  { adapters: "NVIDIA, AMD", shape: { rows: 16, columns: 16, depth: 16, ...half }, subgroupSize: 32 },
  { adapters: "Intel", shape: { rows: 8, columns: 16, depth: 16, ...half }, subgroupSize: 16 },
  { adapters: "Apple", shape: { rows: 8, columns: 8, depth: 8, component: "f32", result: "f32" }, subgroupSize: 32 },
];
