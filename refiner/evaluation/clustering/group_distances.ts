import { d, tgpu } from "typegpu";
import { defineKernel, programOf, type Tensor } from "../../../engine/index.ts";
import { foldGrid } from "../../../engine/ops/grid.ts";
import source from "../../../shaders/group_distances.wgsl" with { type: "text" };

const Params = d.struct({ quads: d.u32, columns: d.u32, groups: d.u32 }).$name("Params");
export const groupDistancesKernel = defineKernel({
  name: "group_distances",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    queries: { storage: d.arrayOf(d.vec4f) },
    tiles: { storage: d.arrayOf(d.vec4f) },
    starts: { storage: d.arrayOf(d.u32) },
    filled: { storage: d.arrayOf(d.u32) },
    y: { storage: d.arrayOf(d.vec4f), access: "mutable" },
  }),
});

/** Threads per workgroup, as in the shader. */
const lanes = 32;
/** Rows of a tile, as in the shader. */
export const tileRows = 8;

/** Rows in tiles of one group each. */
export interface GroupTiles {
  /** `[tiles, columns, 8]` */
  readonly tiles: Tensor;
  /** First tile of each group, and the end of the last, `[groups + 1]` u32. */
  readonly starts: Tensor;
  /** Rows of each tile, `[tiles]` u32. */
  readonly filled: Tensor;
}

/**
 * Sums of Euclidean distances from each query to the rows of each group. No gradient.
 *
 * @param queries - `[columns, queries]`; a multiple of four
 * @returns `[groups, queries]`
 */
export function groupDistances(queries: Tensor, { tiles, starts, filled }: GroupTiles): Tensor {
  const program = programOf("groupDistances", queries, tiles, starts, filled);
  const [columns = 1, count = 4] = queries.shape;
  const groups = starts.size - 1;
  const y = program.empty([groups, count]);
  const quads = count / 4;
  program.dispatch(
    groupDistancesKernel,
    { quads, columns, groups },
    { queries, tiles, starts, filled, y },
    foldGrid(program.device, Math.ceil(quads / lanes), groups),
    { flops: 3 * count * tileRows * filled.size * columns },
  );
  return y;
}
