import { d, tgpu } from "typegpu";
import portableSource from "../../shaders/nearest.wgsl" with { type: "text" };
import mergeSource from "../../shaders/nearest_merge.wgsl" with { type: "text" };
import mergeSharedSource from "../../shaders/nearest_merge_shared.wgsl" with { type: "text" };
import sharedSource from "../../shaders/nearest_shared.wgsl" with { type: "text" };
import subgroupSource from "../../shaders/nearest_subgroup.wgsl" with { type: "text" };
import traitsSource from "../../shaders/nearest_traits.wgsl" with { type: "text" };
import { type Declarations, defineKernel, type Kernel } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import type { Variant } from "./choose_variant.ts";

const floats = d.arrayOf(d.f32);
const words = d.arrayOf(d.u32);
const Trait = d.struct({ scale: d.f32, id: d.u32, label: d.u32, padding: d.u32 }).$name("Trait");
const Entry = d.struct({ similarity: d.f32, index: d.u32 }).$name("Entry");

const TraitsParams = d
  .struct({
    rows: d.u32,
    columns: d.u32,
    firstRow: d.u32,
    normalises: d.u32,
    idCount: d.u32,
    labelCount: d.u32,
  })
  .$name("Params");
export const nearestTraitsKernel = defineKernel({
  name: "nearest_traits",
  source: traitsSource,
  params: TraitsParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: TraitsParams },
    x: { storage: floats },
    ids: { storage: words },
    labels: { storage: words },
    y: { storage: d.arrayOf(Trait), access: "mutable" },
  }),
});

const SearchParams = d
  .struct({
    queries: d.u32,
    rows: d.u32,
    columns: d.u32,
    firstRow: d.u32,
    k: d.u32,
    segments: d.u32,
    rowsPerSegment: d.u32,
    excludesIds: d.u32,
    keepsClass: d.u32,
    excludedSimilarity: d.f32,
    continues: d.u32,
  })
  .$name("Params");
const searchLayout = tgpu.bindGroupLayout({
  params: { uniform: SearchParams },
  queries: { storage: floats },
  queryTraits: { storage: d.arrayOf(Trait) },
  bank: { storage: floats },
  bankTraits: { storage: d.arrayOf(Trait) },
  previous: { storage: d.arrayOf(Entry) },
  lists: { storage: d.arrayOf(Entry), access: "mutable" },
});
const search = { params: SearchParams, layout: searchLayout };
export const nearestKernel = defineKernel({ name: "nearest", source: portableSource, ...search });
export const nearestSharedKernel = defineKernel({ name: "nearest_shared", source: sharedSource, ...search });
export const nearestSubgroupKernel = defineKernel({
  name: "nearest_subgroup",
  source: subgroupSource,
  ...search,
  features: ["subgroups"],
});

const MergeParams = d.struct({ queries: d.u32, rows: d.u32, k: d.u32, segments: d.u32 }).$name("Params");
const merge = {
  params: MergeParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: MergeParams },
    lists: { storage: d.arrayOf(Entry) },
    similarities: { storage: floats, access: "mutable" },
    indices: { storage: words, access: "mutable" },
  }),
};
/** An invocation for each query. */
export const nearestMergeKernel = defineKernel({ name: "nearest_merge", source: mergeSource, ...merge });
/** A workgroup for each query. */
export const nearestMergeSharedKernel = defineKernel({
  name: "nearest_merge_shared",
  source: mergeSharedSource,
  ...merge,
});

/** What the choice of a variant depends on. */
export interface NearestProblem {
  readonly queries: number;
  readonly columns: number;
  readonly bankRows: number;
  readonly k: number;
}

/** One way to search; all give the same neighbours. */
export interface NearestVariant extends Variant<NearestProblem> {
  readonly name: "subgroup" | "shared" | "portable";
  readonly kernel: Kernel;
  readonly unsupported: (device: Device) => string | undefined;
  /** Merges what the segments of the bank found. */
  readonly mergeKernel: Kernel;
  /** Queries of one workgroup, and the declarations that make it so. */
  readonly launch: (device: Device, queries: number) => { readonly tile: number; readonly declarations: Declarations };
}

/** Queries of one thread, as in the shaders. */
const queriesPerThread = 4;

export const nearestVariants: readonly NearestVariant[] = [
  {
    name: "subgroup",
    kernel: nearestSubgroupKernel,
    mergeKernel: nearestMergeKernel,
    unsupported: ({ features, subgroupSize }) => {
      if (!features.has("subgroups")) return "the device has no subgroups";
      return subgroupSize === undefined ? "the adapter does not have one subgroup size" : undefined;
    },
    launch: ({ subgroupSize = 1 }) => ({
      tile: queriesPerThread * subgroupSize,
      declarations: { lanes: `${subgroupSize}u` },
    }),
  },
  {
    name: "shared",
    kernel: nearestSharedKernel,
    mergeKernel: nearestMergeSharedKernel,
    unsupported: () => undefined,
    launch: () => ({ tile: 32, declarations: {} }), // queryTile in the shader
  },
  {
    name: "portable",
    kernel: nearestKernel,
    mergeKernel: nearestMergeKernel,
    unsupported: () => undefined,
    launch: (_device, queries) => {
      // Threads without a query would compute for nothing; 64 fill a hardware wave.
      const lanes = Math.min(64, 2 ** Math.ceil(Math.log2(Math.max(4, queries / queriesPerThread))));
      return { tile: queriesPerThread * lanes, declarations: { lanes: `${lanes}u` } };
    },
  },
];

/** Measured on lavapipe (test/bench/nearest): subgroup 1, portable 1.7, shared 5. Hardware is where shared tiles pay. */
export function nearestOrder({ isSoftware }: Device): readonly string[] {
  return isSoftware ? ["subgroup", "portable", "shared"] : ["shared", "subgroup", "portable"];
}
