import { d, tgpu } from "typegpu";
import registerSource from "../../shaders/matmul_register.wgsl" with { type: "text" };
import sharedSource from "../../shaders/matmul_shared.wgsl" with { type: "text" };
import subgroupSource from "../../shaders/matmul_subgroup.wgsl" with { type: "text" };
import wideSource from "../../shaders/matmul_subgroup_wide.wgsl" with { type: "text" };
import sumSource from "../../shaders/matmul_sum.wgsl" with { type: "text" };
import { type Declarations, defineKernel, type Kernel } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import type { Variant } from "./choose_variant.ts";

const Params = d
  .struct({
    rows: d.u32,
    columns: d.u32,
    depth: d.u32,
    parts: d.u32,
    splits: d.u32,
    splitDepth: d.u32,
    aRow: d.u32,
    aDepth: d.u32,
    aBatch: d.u32,
    bDepth: d.u32,
    bColumn: d.u32,
    bBatch: d.u32,
  })
  .$name("Params");
const layoutOf = (element: typeof d.f32 | typeof d.vec4f) =>
  tgpu.bindGroupLayout({
    params: { uniform: Params },
    a: { storage: d.arrayOf(element) },
    b: { storage: d.arrayOf(element) },
    bias: { storage: d.arrayOf(element) },
    other: { storage: d.arrayOf(element) },
    y: { storage: d.arrayOf(element), access: "mutable" },
    extra: { storage: d.arrayOf(d.f32), access: "mutable" },
  });
const layout = layoutOf(d.f32);
export const matmulSubgroupKernel = defineKernel({
  name: "matmul_subgroup",
  source: subgroupSource,
  params: Params,
  layout,
  features: ["subgroups"],
});
export const matmulSubgroupWideKernel = defineKernel({
  name: "matmul_subgroup_wide",
  source: wideSource,
  params: Params,
  layout: layoutOf(d.vec4f),
  features: ["subgroups"],
});
export const matmulRegisterKernel = defineKernel({
  name: "matmul_register",
  source: registerSource,
  params: Params,
  layout,
});
export const matmulSharedKernel = defineKernel({ name: "matmul_shared", source: sharedSource, params: Params, layout });

const SumParams = d.struct({ rows: d.u32, columns: d.u32, splits: d.u32, batches: d.u32 }).$name("Params");
const sumLayout = tgpu.bindGroupLayout({
  params: { uniform: SumParams },
  parts: { storage: d.arrayOf(d.f32) },
  bias: { storage: d.arrayOf(d.f32) },
  other: { storage: d.arrayOf(d.f32) },
  y: { storage: d.arrayOf(d.f32), access: "mutable" },
  extra: { storage: d.arrayOf(d.f32), access: "mutable" },
});
export const matmulSumKernel = defineKernel({
  name: "matmul_sum",
  source: sumSource,
  params: SumParams,
  layout: sumLayout,
});

/** Sizes of one product: `rows × depth` times `depth × columns`, `batches` times. */
export interface ProductShape {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly batches: number;
}

/** One way to compute a product. All variants give the same values up to the order of additions. */
export interface MatmulVariant extends Variant<ProductShape> {
  readonly kernel: Kernel;
  /** The same for products whose columns and depth are multiples of 4, with loads of four numbers. */
  readonly wideKernel?: Kernel | undefined;
  /** Rows and columns that one workgroup computes. */
  tile(device: Device): readonly [number, number];
  unsupported(device: Device, shape: ProductShape): string | undefined;
  constants(device: Device): Readonly<Record<string, number>>;
  readonly declarations: Declarations;
  /** The depth is cut into parts that a second pass adds, so that a small result still fills the device. */
  readonly split: boolean;
}

/** Smallest depth of a part: below it the second pass costs more than the first. */
export const minSplitDepth = 16;

interface Tiling {
  readonly name: string;
  readonly kernel: Kernel;
  readonly wideKernel?: Kernel;
  readonly tile: (device: Device) => readonly [number, number];
  readonly unsupported?: (device: Device) => string | undefined;
  readonly constants?: (device: Device) => Readonly<Record<string, number>>;
  readonly declarations?: Declarations;
}

const tilings: readonly Tiling[] = [
  {
    name: "subgroup",
    kernel: matmulSubgroupKernel,
    wideKernel: matmulSubgroupWideKernel,
    tile: (device) => [16, 4 * lanesOf(device)],
    unsupported: (device) =>
      lanesOf(device) < 8 ? "needs subgroups of one known size of at least 8 invocations" : undefined,
    constants: (device) => ({ lanes: lanesOf(device) }),
  },
  { name: "register", kernel: matmulRegisterKernel, tile: () => [64, 32] },
  { name: "shared_64", kernel: matmulSharedKernel, tile: () => [64, 64] },
  {
    name: "shared_128",
    kernel: matmulSharedKernel,
    tile: () => [128, 128],
    declarations: { groups: "2u", tileDepth: "8u" },
  },
];

/** Every variant, with and without a split of the depth. */
export const matmulVariants: readonly MatmulVariant[] = [false, true].flatMap((split) =>
  tilings.map(({ name, kernel, wideKernel, tile, unsupported, constants, declarations }) => ({
    name: split ? `${name}_split` : name,
    kernel,
    wideKernel,
    tile,
    unsupported: (device: Device, shape: ProductShape) =>
      split && shape.depth <= minSplitDepth ? `a depth of ${shape.depth} is too small to split` : unsupported?.(device),
    constants: constants ?? (() => ({})),
    declarations: declarations ?? {},
    split,
  })),
);

function lanesOf(device: Device): number {
  return device.subgroupSize ?? 0;
}
