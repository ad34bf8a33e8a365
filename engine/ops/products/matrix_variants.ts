import type { MatrixShape } from "../../core/device_parts.ts";
import type { DType } from "../../core/dtype.ts";
import type { Device } from "../../core/recording.ts";
import { type MatrixForm, type MatrixTiling, matrixTiling } from "./matrix_tiling.ts";

/** Deepest product whose sums are kept in f16, where they err by up to (depth + 1) · 2^-11 of the sum of magnitudes: 1/16 here. */
export const deepestHalfSum = 127;

/** One tile of subgroups and matrices, made for each adapter from the products that it lists. */
export interface MatrixVariant {
  readonly name: string;
  readonly form: MatrixForm;
  /** Type of the sums. */
  readonly sums: "f32" | "f16";
}

const counts = [1, 2, 4];

/** All tiles: {1, 2, 4} × {1, 2, 4} subgroups of {2, 4} × {2, 4} matrices. One of them with f16 sums, which is never chosen unasked. */
export const matrixVariants: readonly MatrixVariant[] = [
  ...counts.flatMap((down) =>
    counts.flatMap((across) =>
      [2, 4].flatMap((rows) =>
        [2, 4].map((columns): MatrixVariant => {
          const form: MatrixForm = { subgroups: [down, across], matrices: [rows, columns] };
          return { name: `matrix_${down}x${across}_${rows}x${columns}`, form, sums: "f32" };
        }),
      ),
    ),
  ),
  { name: "matrix_2x2_2x2_half_sums", form: { subgroups: [2, 2], matrices: [2, 2] }, sums: "f16" },
];

/** Why sums of a variant may not be so many terms long, or undefined. */
export function tooDeep({ sums }: MatrixVariant, depth: number): string | undefined {
  if (sums === "f32" || depth <= deepestHalfSum) return undefined;
  return `a depth of ${depth} is too much for f16 sums, at most ${deepestHalfSum}`;
}

/** What of a device decides which matrices a kernel may use. */
export interface MatrixHost extends Pick<Device, "features" | "matrices"> {
  readonly limits: Pick<
    Device["limits"],
    "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupSizeX" | "maxComputeWorkgroupStorageSize"
  >;
}

/** The lengths of a variant on a device, or why it has none. */
export function matrixTilingOn(
  { form, sums }: MatrixVariant,
  { features, limits, matrices }: MatrixHost,
  dtype: DType,
): MatrixTiling | string {
  if (matrices.shapes.length === 0) return "the adapter lists no subgroup matrices";
  if (!features.has("subgroups")) return "needs subgroups";
  const { subgroupSize } = matrices;
  if (subgroupSize === undefined) return "no subgroup size is known to work with the adapter's matrices";
  const shape = shapeFor(matrices.shapes, dtype, sums);
  if (!shape) return `the adapter lists no matrices of ${dtype} with ${sums} sums`;
  const tiling = matrixTiling(shape, subgroupSize, form);
  const most = Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
  if (tiling.invocations > most) return `${tiling.invocations} invocations, at most ${most} here`;
  if (tiling.memoryBytes > limits.maxComputeWorkgroupStorageSize) {
    return `${tiling.memoryBytes} bytes of workgroup memory, at most ${limits.maxComputeWorkgroupStorageSize} here`;
  }
  return tiling;
}

/** The largest product of the type of the operands; for f16 operands with f32 sums also one of f32 (Metal has no f16 -> f32). */
export function shapeFor(shapes: readonly MatrixShape[], dtype: DType, sums: "f32" | "f16"): MatrixShape | undefined {
  const fitting = (component: DType): MatrixShape | undefined =>
    shapes
      .filter((shape) => shape.component === component && shape.result === sums)
      // Lengths of which 16 bytes of any element type are a part: the loads are aligned then.
      .filter(({ rows, columns, depth }) => [rows, columns, depth].every((length) => length % 8 === 0))
      .reduce<MatrixShape | undefined>(
        (best, shape) => (best && volume(best) >= volume(shape) ? best : shape),
        undefined,
      );
  return fitting(dtype) ?? (dtype === "f16" && sums === "f32" ? fitting("f32") : undefined);
}

function volume({ rows, columns, depth }: MatrixShape): number {
  return rows * columns * depth;
}
