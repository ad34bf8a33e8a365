import { type HostArray, recordProgram } from "../../engine/index.ts";
import { NeighbourQueue } from "../methods/refine/queue.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase } from "./fixture.ts";
import { writeQueue } from "./head_state.ts";
import type { Json } from "./json.ts";

/**
 * What a variant of a head stores about its ranking: the best slots if own samples were not excluded, for how many rows
 * the exclusion matters, and the least distance of a candidate's similarity to that of the next slot.
 *
 * @param anchors - projections of the global views, `[G · B, P]`
 */
export async function checkRanking(golden: GoldenCase, variant: string, json: Json, anchors: HostArray): Promise<void> {
  const { device } = golden;
  const [slots = 1, columns = 1] = golden.shape(`${variant}/before/queue.x`);
  const queue = new NeighbourQueue(device, slots, columns); // as it was before the entries of this batch
  for (const [name, state] of Object.entries(queue.state)) await writeQueue(golden, state, `${variant}/before/${name}`);
  const k = Math.min(json.get("topk").number() + 1, slots);
  const batch = {
    samples: Int32Array.from(await golden.integers(`${variant}/idx`)),
    classes: Int32Array.from(await golden.integers(`${variant}/cls`)),
  };
  const unmasked = await lookUp(queue, anchors, batch, { k, isMasked: false });
  const best = unmasked.indices.filter((_, at) => at % k === 0);
  const name = `${variant}/nn.idx_without_mask`;
  if (golden.has(name)) await golden.compare(name, best, goldenBounds.exact);

  const isMasked = json.get("training").value === true;
  const ranked = isMasked ? await lookUp(queue, anchors, batch, { k, isMasked }) : unmasked;
  queue.destroy();
  const changed = Array.from(best).filter((slot, row) => slot !== ranked.indices[row * k]).length;
  golden.addScalar(json.get("samples_whose_neighbour_changes_by_the_mask"), changed, goldenBounds.exact);

  const gap = json.get("min_gap_between_consecutive_ranked_similarities");
  if (gap.exists) golden.addScalar(gap, smallestStep(ranked.similarities, k), gapBound(gap.number()));
}

/** Bound of a distance of two similarities, which are at most 1 and within the forward bound. */
export function gapBound(gap: number): number {
  return Math.max(goldenBounds.forward, (2 * goldenBounds.forward) / Math.max(gap, 1e-6));
}

/** The k best slots per row and their similarities, best first. */
async function lookUp(
  queue: NeighbourQueue,
  anchors: HostArray,
  batch: { readonly samples: Int32Array; readonly classes: Int32Array },
  { k, isMasked }: { readonly k: number; readonly isMasked: boolean },
): Promise<{ readonly indices: HostArray; readonly similarities: HostArray }> {
  const { device, columns } = queue;
  const rows = anchors.length / columns;
  const recorded = recordProgram(
    device,
    (p) => {
      const projections = p.input("anchors", [rows, columns]);
      const samples = p.input("samples", [batch.samples.length], "i32");
      const classes = p.input("classes", [batch.classes.length], "i32");
      const choice = device.zeros([rows], "u32", "first ranks");
      const found = queue.lookup(projections, { k, classes, choice, ...(isMasked ? { samples } : {}) });
      return { indices: found.indices, similarities: found.similarities };
    },
    { inference: true },
  );
  const inputs = { anchors: Float32Array.from(anchors), ...batch };
  const values = await (await recorded.run(inputs, ["indices", "similarities"])).read();
  recorded.destroy();
  return values;
}

/** Least difference of neighbours in rows that fall. */
export function smallestStep(values: ArrayLike<number>, columns: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 1 < values.length; i++) {
    if ((i + 1) % columns !== 0) least = Math.min(least, Number(values[i]) - Number(values[i + 1]));
  }
  return least;
}
