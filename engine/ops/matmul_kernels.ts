import type { DType } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import type { Declarations, Kernel } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import type { Variant } from "./choose_variant.ts";
import { knownMatrices } from "./products/known_matrices.ts";
import { type MatrixTiling, matrixTiling } from "./products/matrix_tiling.ts";
import { matrixTilingOn, matrixVariants, tooDeep } from "./products/matrix_variants.ts";
import { type LeftLoads, type ProductForm, type SharedForm, sharedTile } from "./products/product_form.ts";
import { matrixKernel, productKernel, sumKernel } from "./products/product_kernels.ts";

/** Sizes of one product: `rows × depth` times `depth × columns`, `batches` times. */
export interface ProductShape {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly batches: number;
  /** Of the operands; f32 if left out. */
  readonly dtype?: DType;
}

/** One way to compute a product. All variants give the same values up to the order of additions. */
export interface MatmulVariant extends Variant<ProductShape> {
  /** Rows and columns that one workgroup computes. */
  tile(device: Device, dtype: DType): readonly [number, number];
  unsupported(device: Device, shape: ProductShape): string | undefined;
  /** The kernel that fits a product. */
  form(problem: ProductShape & { readonly transposeA: boolean }, device: Device, dtype: DType): MatmulForm;
  constants(device: Device): Readonly<Record<string, number>>;
  /** The depth is cut into parts that a second pass adds, so that a small result still fills the device. */
  readonly split: boolean;
}

/** A kernel and how it loads its operands. */
export interface MatmulForm {
  readonly kernel: Kernel;
  /** Four numbers at once: columns and depth are multiples of 4. */
  readonly isWide: boolean;
  /** Types in memory of operands of a type. */
  types(operands: DType): Declarations;
}

/** Smallest depth of a part: below it the second pass costs more than the first. */
export const minSplitDepth = 16;

/** Sizes of subgroups that kernels ask for where an adapter has several: those of GPUs. */
export const pinnedLanes = [16, 32, 64] as const;

interface Tiling {
  readonly name: string;
  readonly form: ProductForm;
  readonly tile: (device: Device) => readonly [number, number];
  readonly unsupported?: (device: Device, shape: ProductShape) => string | undefined;
  readonly constants?: (device: Device) => Readonly<Record<string, number>>;
}

function subgroupTiling(name: string, rows: 16 | 32): Tiling {
  return {
    name,
    form: { kind: "subgroup", rows, pinned: false },
    tile: (device) => [rows, 4 * lanesOf(device)],
    unsupported: (device, shape) => {
      if (lanesOf(device) < 8) return "needs subgroups of one known size of at least 8 invocations";
      return rows === 16 || isWide(shape) ? undefined : "needs columns and a depth that are multiples of 4";
    },
    constants: (device) => ({ lanes: lanesOf(device) }),
  };
}

/** The same where the adapter would choose the size of subgroups. */
function pinnedTiling(lanes: number): Tiling {
  return {
    name: `pinned_${lanes}`,
    form: { kind: "subgroup", rows: 16, pinned: true },
    tile: () => [16, 4 * lanes],
    unsupported: ({ subgroupRange: [least, most] = [0, 0] }) =>
      least <= lanes && lanes <= most ? undefined : `needs subgroups of ${lanes} invocations that a kernel can ask for`,
    constants: () => ({ lanes }),
  };
}

function sharedTiling(name: string, sizes: Omit<SharedForm, "kind" | "depth">): Tiling {
  const form: SharedForm = { kind: "shared", depth: 16, ...sizes };
  return { name, form, tile: () => sharedTile(form) };
}

const tilings: readonly Tiling[] = [
  subgroupTiling("subgroup", 16),
  subgroupTiling("subgroup_32", 32),
  { name: "register", form: { kind: "register" }, tile: () => [64, 32] },
  // So few registers that a multiprocessor holds many workgroups, which wait for their loads in turns: a block on its way would only take
  // registers. Reckoned, not measured on a GPU.
  sharedTiling("shared_32", { across: 8, down: 8, columnVectors: 1, rowVectors: 1, prefetch: false }),
  sharedTiling("shared_64", { across: 8, down: 8, columnVectors: 2, rowVectors: 2, prefetch: true }),
  sharedTiling("shared_128x64", { across: 8, down: 16, columnVectors: 2, rowVectors: 2, prefetch: true }),
  sharedTiling("shared_128", { across: 16, down: 16, columnVectors: 2, rowVectors: 2, prefetch: true }),
  ...pinnedLanes.map(pinnedTiling),
];

/** A variant whose kernel is the same on every adapter. */
interface PlainVariant extends MatmulVariant {
  form(problem: ProductShape & { readonly transposeA: boolean }): MatmulForm;
}

export const plainVariants = tilings.map(
  (tiling): PlainVariant => ({
    name: tiling.name,
    tile: tiling.tile,
    unsupported: (device, shape) => tiling.unsupported?.(device, shape),
    form: (problem) => formOf(tiling, leftLoads(tiling, problem)),
    constants: tiling.constants ?? (() => ({})),
    split: false,
  }),
);

/** Products of subgroup matrices, whose tiles and kernels follow from what the adapter lists. */
const matrixProducts = matrixVariants.map((variant): MatmulVariant => {
  const tilingOn = (device: Device, dtype: DType): MatrixTiling => {
    const tiling = matrixTilingOn(variant, device, dtype);
    if (typeof tiling === "string") throw new OptionError(`matmul: variant ${variant.name}: ${tiling}; choose another`);
    return tiling;
  };
  return {
    name: variant.name,
    tile: (device, dtype) => tilingOn(device, dtype).tile,
    unsupported: (device, { dtype = "f32", depth }) => {
      const tiling = matrixTilingOn(variant, device, dtype);
      return typeof tiling === "string" ? tiling : tooDeep(variant, depth);
    },
    form: (_problem, device, dtype) => ({
      kernel: matrixKernel(
        tilingOn(device, dtype),
        dtype === "f16" ? "f16" : "f32",
        device.features.has("subgroup-size-control"),
      ),
      isWide: false,
      types: (operands) => ({ Left: operands, Right: operands }),
    }),
    constants: () => ({}),
    split: false,
  };
});

/** Every variant, with and without a split of the depth. */
export const matmulVariants: readonly MatmulVariant[] = [...plainVariants, ...matrixProducts].flatMap((variant) => [
  variant,
  splitOf(variant),
]);

function splitOf(variant: MatmulVariant): MatmulVariant {
  return {
    ...variant,
    name: `${variant.name}_split`,
    unsupported: (device, shape) =>
      shape.depth <= minSplitDepth
        ? `a depth of ${shape.depth} is too small to split`
        : variant.unsupported(device, shape),
    split: true,
  };
}

/** Every kernel that a product may run with, for matrices those of the adapters that are known, and that of the sum of its parts. */
export function matmulKernels(): Kernel[] {
  const plain = tilings.flatMap((tiling) => waysToLoad(tiling).map((left) => formOf(tiling, left).kernel));
  const matrices = knownMatrices.flatMap(({ shape, subgroupSize }) => {
    const operand = shape.component === "f16" ? "f16" : "f32";
    const fitting = matrixVariants.filter(({ sums }) => sums === "f32" || operand === "f16");
    return fitting.map(({ form, sums }) =>
      matrixKernel(matrixTiling({ ...shape, result: sums }, subgroupSize, form), operand, true),
    );
  });
  return [sumKernel(), ...plain, ...matrices];
}

function waysToLoad({ form }: Tiling): LeftLoads[] {
  if (form.kind === "register") return ["any"];
  if (form.kind === "shared") return ["any", "depth", "rows", "single"];
  return form.rows === 32 ? ["depth", "single"] : ["any", "depth", "single"];
}

function leftLoads(tiling: Tiling, problem: ProductShape & { readonly transposeA: boolean }): LeftLoads {
  const ways = waysToLoad(tiling);
  if (!ways.includes("depth") || !isWide(problem)) return "any";
  if (!problem.transposeA) return "depth";
  return ways.includes("rows") && problem.rows % 4 === 0 ? "rows" : "single";
}

function formOf({ name, form }: Tiling, left: LeftLoads): MatmulForm {
  return {
    kernel: productKernel(name, form, left),
    isWide: left !== "any",
    types: (dtype) => {
      const four = `vec4<${dtype}>`;
      const [leftType, rightType] = left === "any" ? [dtype, dtype] : [left === "single" ? dtype : four, four];
      return { Left: leftType, Right: rightType, ...(form.kind === "shared" ? { Kept: four } : {}) };
    },
  };
}

function isWide({ columns, depth }: ProductShape): boolean {
  return columns % 4 === 0 && depth % 4 === 0;
}

function lanesOf(device: Device): number {
  return device.subgroupSize ?? 0;
}
