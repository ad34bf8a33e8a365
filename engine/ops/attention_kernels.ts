import { d, type TgpuBindGroupLayout } from "typegpu";
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
import { OptionError } from "../core/errors.ts";
import { type Declarations, defineKernel, type Kernel, type KernelFeature } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import { attentionLayouts, attentionParams } from "./attention_layouts.ts";
import { attentionForms, attentionMatrixKernel, attentionMatrixRows, attentionTilingOn } from "./attention_matrix.ts";
import type { AttentionShape } from "./attention_shape.ts";
import type { Variant } from "./choose_variant.ts";

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

/** What decides whether a variant runs. */
export interface AttentionTraits {
  readonly shape: Pick<AttentionShape, "headDim">;
  readonly dtype: DType;
}

/**
 * One way to compute attention and its gradient. All variants give the same values up to the order of additions, and with matrices of f16
 * up to the rounding of the weights to f16.
 */
export interface AttentionVariant extends Variant<AttentionTraits> {
  readonly kernels: AttentionKernels;
  /** The same for head dimensions that are multiples of 4, with loads of four numbers; as far as there are any that fit. */
  wideKernels?(device: Device, headDim: number, dtype: DType): Partial<AttentionKernels>;
  /** Queries (or keys, for `gradKey`) that one workgroup serves. */
  tileRows(device: Device, kernel: Kernel): number;
  unsupported(device: Device, traits: AttentionTraits): string | undefined;
  constants(device: Device): Readonly<Record<string, number>>;
  declarations(device: Device): Declarations;
  /**
   * Those that give the forward pass the canonical order: keys by {@link canonicalKeys}, whose exponentials and products are added in
   * turn. Absent where nothing does.
   */
  canonicalDeclarations?(device: Device): Declarations;
}

/** Keys between two corrections of the largest score: what subgroups of 4, 8 and 16 can all hold. */
const canonicalKeys = 16;

function kernelsOf(
  name: string,
  sources: readonly [string, string, string],
  { features = [], isWide = false }: { features?: readonly KernelFeature[]; isWide?: boolean } = {},
): AttentionKernels {
  const [forward, gradQuery, gradKey] = sources;
  const layouts = attentionLayouts(isWide ? d.vec4f : d.f32);
  const define = (kernel: string, source: string, layout: TgpuBindGroupLayout): Kernel =>
    defineKernel({ name: `${kernel}_${name}`, source, params: attentionParams, layout, features });
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
const subgroupKernels = kernelsOf("subgroup", [subgroup, querySubgroup, keySubgroup], { features: ["subgroups"] });
const registerKernels = kernelsOf("register", [register, queryRegister, keyRegister]);
const canonicalKernels: ReadonlySet<Kernel> = new Set(
  [wideSubgroupKernels, subgroupKernels, registerKernels].flatMap((of) => [of.forward, of.gradQuery, of.gradKey]),
);

/** Whether a kernel is one of those that have a canonical order. */
export function isCanonicalAttention(kernel: Kernel): boolean {
  return canonicalKernels.has(kernel);
}

const sharedKernels = kernelsOf("shared", [shared, queryShared, keyShared]);
const fours = attentionLayouts(d.vec4f);
const residentKernels: AttentionKernels = {
  forward: defineKernel({ name: "attention_queries", source: queries, params: attentionParams, layout: fours.forward }),
  gradQuery: defineKernel({
    name: "attention_grad_query_resident",
    source: queryResident,
    params: attentionParams,
    layout: fours.gradQuery,
  }),
  gradKey: defineKernel({
    name: "attention_grad_key_resident",
    source: keyResident,
    params: attentionParams,
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
    kernels: subgroupKernels,
    wideKernels: () => wideSubgroupKernels,
    tileRows: ({ subgroupSize = 0 }) => 2 * subgroupSize,
    unsupported: ({ subgroupSize = 0 }) =>
      subgroupSizes.includes(subgroupSize)
        ? undefined
        : `needs subgroups of one known size out of ${subgroupSizes.join(", ")}`,
    constants: () => ({}),
    declarations: ({ subgroupSize = 0 }) => ({ lanes: `${subgroupSize}u` }),
    canonicalDeclarations: ({ subgroupSize = canonicalKeys }) => ({ blocks: `${canonicalKeys / subgroupSize}u` }),
  },
  {
    name: "register",
    kernels: registerKernels,
    tileRows: (device) => 4 * registerLanes(device),
    unsupported: () => undefined,
    constants: (device) => ({ lanes: registerLanes(device) }),
    declarations: () => ({}),
    canonicalDeclarations: () => ({ keys: `${canonicalKeys}u` }),
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
  ...attentionForms.map(matrixVariant),
];

/** Forward with matrices of subgroups; the gradients as in "queries". */
function matrixVariant(form: (typeof attentionForms)[number]): AttentionVariant {
  return {
    name: form.name,
    kernels: sharedKernels,
    wideKernels: (device, headDim, dtype) => {
      const tiling = attentionTilingOn(form, device, headDim, dtype);
      if (typeof tiling === "string")
        throw new OptionError(`attention: variant ${form.name}: ${tiling}; choose another`);
      const forward = attentionMatrixKernel(tiling, device.features.has("subgroup-size-control"));
      return { ...residentOn(device, headDim, dtype), forward };
    },
    tileRows: (_, kernel) => attentionMatrixRows(kernel) ?? 32,
    unsupported: (device, { shape: { headDim }, dtype }) => {
      const tiling = attentionTilingOn(form, device, headDim, dtype);
      return typeof tiling === "string" ? tiling : undefined;
    },
    constants: () => ({}),
    declarations: () => ({}),
  };
}

/** One vector register of a CPU, or one wave of most GPUs. */
function registerLanes(device: Device): number {
  return device.isSoftware ? 8 : 32;
}
