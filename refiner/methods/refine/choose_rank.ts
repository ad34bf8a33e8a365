import { d, tgpu } from "typegpu";
import { purposeNumber, seedWords } from "../../../engine/core/host_random.ts";
import { alignUp, bindingAlignment } from "../../../engine/core/storage.ts";
import { defineKernel, type Program, reshape, rows, type Tensor } from "../../../engine/index.ts";
import source from "../../../shaders/choose_rank.wgsl" with { type: "text" };

const Params = d.struct({ rows: d.u32, k: d.u32, stride: d.u32, seed: d.vec2u }).$name("Params");
const words = d.arrayOf(d.u32);
export const chooseRankKernel = defineKernel({
  name: "choose_rank",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    step: { storage: words },
    purposes: { storage: words },
    choice: { storage: words, access: "mutable" },
  }),
});

/** What the choices of all heads are drawn from. */
export interface RankChoice {
  /** Candidates per row. */
  readonly k: number;
  readonly seed: number;
  /** One per head, such as `neighbour cls`. */
  readonly purposes: readonly string[];
  /** `[1]` u32, so that every replay draws anew. */
  readonly step: Tensor;
}

/**
 * A uniform choice among k ranks for every row and head, in one launch: min(⌊k u⌋, k − 1) of the numbers `uniform` would draw.
 *
 * @returns per head `[rows]` u32
 */
export function chooseRanks(program: Program, rowCount: number, { k, seed, purposes, step }: RankChoice): Tensor[] {
  const stride = alignUp(4 * rowCount, bindingAlignment) / 4; // so that each head's part can be bound
  const table = program.empty([purposes.length, stride], "u32");
  program.dispatch(
    chooseRankKernel,
    { rows: rowCount, k, stride, seed: seedWords(seed) },
    {
      step,
      purposes: program.own(program.device.tensor(purposes.map(purposeNumber), [purposes.length], "u32", "purposes")),
      choice: table,
    },
    [Math.ceil(rowCount / 64), purposes.length],
  );
  return purposes.map((_, head) => rows(reshape(rows(table, head, head + 1), [stride]), 0, rowCount));
}
