import { d, type TgpuBindGroupLayout, tgpu } from "typegpu";
import keyRegister from "../../shaders/attention_grad_key_register.wgsl" with { type: "text" };
import keyResident from "../../shaders/attention_grad_key_resident.wgsl" with { type: "text" };
import keyShared from "../../shaders/attention_grad_key_shared.wgsl" with { type: "text" };
import keySubgroup from "../../shaders/attention_grad_key_subgroup.wgsl" with { type: "text" };
import keyWide from "../../shaders/attention_grad_key_subgroup_wide.wgsl" with { type: "text" };
import queryRegister from "../../shaders/attention_grad_query_register.wgsl" with { type: "text" };
import queryResident from "../../shaders/attention_grad_query_resident.wgsl" with { type: "text" };
import queryShared from "../../shaders/attention_grad_query_shared.wgsl" with { type: "text" };
import querySubgroup from "../../shaders/attention_grad_query_subgroup.wgsl" with { type: "text" };
import queryWide from "../../shaders/attention_grad_query_subgroup_wide.wgsl" with { type: "text" };
import queries from "../../shaders/attention_queries.wgsl" with { type: "text" };
import register from "../../shaders/attention_register.wgsl" with { type: "text" };
import shared from "../../shaders/attention_shared.wgsl" with { type: "text" };
import subgroup from "../../shaders/attention_subgroup.wgsl" with { type: "text" };
import wide from "../../shaders/attention_subgroup_wide.wgsl" with { type: "text" };
import { bytesPerElement, type DType } from "../core/dtype.ts";
import { type Declarations, defineKernel, type Kernel, type KernelFeature } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import type { Variant } from "./choose_variant.ts";

const Params = d
  .struct({
    tiles: d.u32,
    heads: d.u32,
    scale: d.f32,
    depth: d.u32,
    firstTile: d.vec4u,
    firstRow: d.vec4u,
    tokens: d.vec4u,
  })
  .$name("Params");
const scalars = d.arrayOf(d.f32);
/** @param element - operands are read by single numbers or by four */
const layoutsOf = (element: typeof d.f32 | typeof d.vec4f) => {
  const values = d.arrayOf(element);
  return {
    forward: tgpu.bindGroupLayout({
      params: { uniform: Params },
      qkv: { storage: values },
      y: { storage: values, access: "mutable" },
      logSums: { storage: scalars, access: "mutable" },
    }),
    gradQuery: tgpu.bindGroupLayout({
      params: { uniform: Params },
      qkv: { storage: values },
      y: { storage: values },
      logSums: { storage: scalars },
      dy: { storage: values },
      dqkv: { storage: values, access: "mutable" },
      deltas: { storage: scalars, access: "mutable" },
    }),
    gradKey: tgpu.bindGroupLayout({
      params: { uniform: Params },
      qkv: { storage: values },
      logSums: { storage: scalars },
      deltas: { storage: scalars },
      dy: { storage: values },
      dqkv: { storage: values, access: "mutable" },
    }),
  };
};

/** Segments that one launch serves: the lanes of the vectors in `Params`. */
export const segmentsPerLaunch = 4;

/** The three launches of one way to compute attention and its gradient. */
export interface AttentionKernels {
  readonly forward: Kernel;
  /** The gradient of the queries; also writes `deltas` for `gradKey`. */
  readonly gradQuery: Kernel;
  /** The gradient of keys and values. */
  readonly gradKey: Kernel;
}

/** One way to compute attention and its gradient. All variants give the same values up to the order of additions. */
export interface AttentionVariant extends Variant<unknown> {
  readonly kernels: AttentionKernels;
  /** The same for head dimensions that are multiples of 4, with loads of four numbers; as far as there are any that fit. */
  wideKernels?(device: Device, headDim: number, dtype: DType): Partial<AttentionKernels>;
  /** Queries (or keys, for `gradKey`) that one workgroup serves. */
  tileRows(device: Device, kernel: Kernel): number;
  unsupported(device: Device): string | undefined;
  constants(device: Device): Readonly<Record<string, number>>;
  declarations(device: Device): Declarations;
}

function kernelsOf(
  name: string,
  sources: readonly [string, string, string],
  { features = [], isWide = false }: { features?: readonly KernelFeature[]; isWide?: boolean } = {},
): AttentionKernels {
  const [forward, gradQuery, gradKey] = sources;
  const layouts = layoutsOf(isWide ? d.vec4f : d.f32);
  const define = (kernel: string, source: string, layout: TgpuBindGroupLayout): Kernel =>
    defineKernel({ name: `${kernel}_${name}`, source, params: Params, layout, features });
  return {
    forward: define("attention", forward, layouts.forward),
    gradQuery: define("attention_grad_query", gradQuery, layouts.gradQuery),
    gradKey: define("attention_grad_key", gradKey, layouts.gradKey),
  };
}

/** Subgroup sizes whose tiles fit in registers: 4 (SwiftShader, NEON), 8 (AVX2), 16 (AVX-512 and some GPUs). */
const subgroupSizes: readonly number[] = [4, 8, 16];

const wideSubgroupKernels = kernelsOf("subgroup_wide", [wide, queryWide, keyWide], {
  features: ["subgroups"],
  isWide: true,
});
const sharedKernels = kernelsOf("shared", [shared, queryShared, keyShared]);
const fours = layoutsOf(d.vec4f);
const residentKernels: AttentionKernels = {
  forward: defineKernel({ name: "attention_queries", source: queries, params: Params, layout: fours.forward }),
  gradQuery: defineKernel({
    name: "attention_grad_query_resident",
    source: queryResident,
    params: Params,
    layout: fours.gradQuery,
  }),
  gradKey: defineKernel({
    name: "attention_grad_key_resident",
    source: keyResident,
    params: Params,
    layout: fours.gradKey,
  }),
};

/** Rows of operands, and of 32 weights in f32, that the passes of "queries" keep in workgroup memory. */
const residentRows: Readonly<Record<keyof AttentionKernels, readonly [operands: number, weights: number]>> = {
  forward: [64 + 32, 64],
  gradQuery: [32 + 32 + 32, 32],
  gradKey: [32 + 32 + 32, 32],
};

/** Whether they fit there, so that a pass of "queries" differs from that of "shared". */
export function keepsQueries(
  { limits }: Device,
  headDim: number,
  dtype: DType,
  pass: keyof AttentionKernels = "forward",
): boolean {
  const pitch = headDim % 32 === 0 ? headDim : 4 * ((headDim / 4) | 1); // as in the shaders
  const [operands, weights] = residentRows[pass];
  const bytes = operands * pitch * bytesPerElement[dtype] + 4 * 32 * weights;
  return headDim % 4 === 0 && bytes <= limits.maxComputeWorkgroupStorageSize;
}

/** Those passes of "queries" that run here. */
function residentOn(device: Device, headDim: number, dtype: DType): Partial<AttentionKernels> {
  const passes = (["forward", "gradQuery", "gradKey"] as const).filter((pass) =>
    keepsQueries(device, headDim, dtype, pass),
  );
  return Object.fromEntries(passes.map((pass) => [pass, residentKernels[pass]]));
}

export const attentionVariants: readonly AttentionVariant[] = [
  {
    name: "subgroup",
    kernels: kernelsOf("subgroup", [subgroup, querySubgroup, keySubgroup], { features: ["subgroups"] }),
    wideKernels: () => wideSubgroupKernels,
    tileRows: ({ subgroupSize = 0 }) => 2 * subgroupSize,
    unsupported: ({ subgroupSize = 0 }) =>
      subgroupSizes.includes(subgroupSize)
        ? undefined
        : `needs subgroups of one known size out of ${subgroupSizes.join(", ")}`,
    constants: () => ({}),
    declarations: ({ subgroupSize = 0 }) => ({ lanes: `${subgroupSize}u` }),
  },
  {
    name: "register",
    kernels: kernelsOf("register", [register, queryRegister, keyRegister]),
    tileRows: (device) => 4 * registerLanes(device),
    unsupported: () => undefined,
    constants: (device) => ({ lanes: registerLanes(device) }),
    declarations: () => ({}),
  },
  {
    name: "queries",
    kernels: sharedKernels,
    wideKernels: residentOn,
    tileRows: (_, kernel) => (kernel === residentKernels.forward ? 64 : 32),
    unsupported: () => undefined,
    constants: () => ({}),
    declarations: () => ({}),
  },
  {
    name: "shared",
    kernels: sharedKernels,
    tileRows: () => 32,
    unsupported: () => undefined,
    constants: () => ({}),
    declarations: () => ({}),
  },
];

/** One vector register of a CPU, or one wave of most GPUs. */
function registerLanes(device: Device): number {
  return device.isSoftware ? 8 : 32;
}
