import { d } from "typegpu";
import type { DType } from "../core/dtype.ts";
import { defineKernel, type Kernel, type KernelFeature } from "../core/kernel.ts";
import { attentionLayouts, attentionParams } from "./attention_layouts.ts";
import { attentionMatrixText } from "./attention_matrix_text.ts";
import { type AttentionForm, type AttentionTiling, attentionTiling } from "./attention_matrix_tiling.ts";
import { knownMatrices } from "./products/known_matrices.ts";
import { type MatrixHost, shapeFor } from "./products/matrix_variants.ts";

/** One form of attention with matrices, made for each adapter from the products that it lists. */
export interface AttentionMatrixForm extends AttentionForm {
  readonly name: string;
}

/** Subgroups × matrices of queries of each. */
export const attentionForms: readonly AttentionMatrixForm[] = [
  { name: "matrix_2x1", subgroups: 2, matrices: 1 },
  { name: "matrix_4x1", subgroups: 4, matrices: 1 },
  { name: "matrix_4x2", subgroups: 4, matrices: 2 },
  { name: "matrix_8x1", subgroups: 8, matrices: 1 },
];

/** The lengths of a form on a device, or why it has none. */
export function attentionTilingOn(
  form: AttentionForm,
  { features, limits, matrices }: MatrixHost,
  headDim: number,
  dtype: DType,
): AttentionTiling | string {
  if (matrices.shapes.length === 0) return "the adapter lists no subgroup matrices";
  if (!features.has("subgroups")) return "needs subgroups";
  const { subgroupSize } = matrices;
  if (subgroupSize === undefined) return "no subgroup size is known to work with the adapter's matrices";
  const shape = shapeFor(matrices.shapes, dtype, "f32");
  if (!shape) return `the adapter lists no matrices of ${dtype} with f32 sums`;
  if (headDim % 4 !== 0) return `needs a head dimension that is a multiple of 4, not ${headDim}`;
  const tiling = attentionTiling(shape, subgroupSize, form, headDim);
  const most = Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
  if (tiling.invocations > most) return `${tiling.invocations} invocations, at most ${most} here`;
  if (tiling.memoryBytes > limits.maxComputeWorkgroupStorageSize)
    return `${tiling.memoryBytes} bytes of workgroup memory, at most ${limits.maxComputeWorkgroupStorageSize} here`;
  return tiling;
}

/** Queries of a workgroup: with more, keys and values are loaded less often; with fewer, there are more workgroups. */
const wantedRows = 64;

/** The two forms that come nearest to 64 queries a workgroup, best guess first. Reckoned, not measured on a GPU. */
export function attentionMatrixCandidates(device: MatrixHost, headDim: number, dtype: DType): string[] {
  return attentionForms
    .flatMap((form) => {
      const tiling = attentionTilingOn(form, device, headDim, dtype);
      return typeof tiling === "string" ? [] : [{ name: form.name, distance: Math.abs(tiling.rows - wantedRows) }];
    })
    .sort((one, other) => one.distance - other.distance)
    .slice(0, 2)
    .map(({ name }) => name);
}

/** Generated once each, when first asked for. */
const kernels = new Map<string, Kernel>();
const rowsOfKernel = new WeakMap<Kernel, number>();
const layout = attentionLayouts(d.vec4f).forward;

/** The forward kernel of a tiling; `pins` asks for its size of subgroups. */
export function attentionMatrixKernel(tiling: AttentionTiling, pins: boolean): Kernel {
  const key = JSON.stringify([tiling, pins]);
  const known = kernels.get(key);
  if (known) return known;
  const features: KernelFeature[] = ["subgroups", "chromium-experimental-subgroup-matrix"];
  if (pins) features.push("subgroup-size-control");
  if (tiling.shape.component === "f16") features.push("shader-f16");
  const name = "attention_matrix";
  const source = attentionMatrixText(name, tiling, pins);
  const kernel = defineKernel({ name, source, params: attentionParams, layout, features });
  kernels.set(key, kernel);
  rowsOfKernel.set(kernel, tiling.rows);
  return kernel;
}

/** Queries that a workgroup of such a kernel serves; undefined for another one. */
export function attentionMatrixRows(kernel: Kernel): number | undefined {
  return rowsOfKernel.get(kernel);
}

/** Kernels of all forms for matrices of adapters that are known, at head dimensions of published encoders. */
export function attentionMatrixKernels(): Kernel[] {
  return knownMatrices.flatMap(({ shape, subgroupSize }) =>
    attentionForms.flatMap((form) =>
      [64, 80].map((headDim) => attentionMatrixKernel(attentionTiling(shape, subgroupSize, form, headDim), true)),
    ),
  );
}
