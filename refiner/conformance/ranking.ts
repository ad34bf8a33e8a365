import { type HostArray, nearest } from "../../engine/index.ts";
import { type GoldenCase, goldenBounds, type Json } from "./fixture.ts";

/**
 * What a variant of a head stores about its ranking: the best slots if own samples were not excluded, for how many rows
 * the exclusion matters, and the least distance of a candidate's similarity to that of the next slot.
 *
 * @param anchors - projections of the global views, `[G · B, P]`
 */
export async function checkRanking(golden: GoldenCase, variant: string, json: Json, anchors: HostArray): Promise<void> {
  const { device } = golden;
  const [slots = 1, columns = 1] = golden.shape(`${variant}/before/queue.x`);
  const rows = anchors.length / columns;
  const bank = device.tensor(await golden.floats(`${variant}/before/queue.x`), [slots, columns]);
  const queries = device.tensor(Float32Array.from(anchors), [rows, columns]);
  const unmasked = await nearest(queries, bank, { k: 1, metric: "cosine" }).indices.read();
  const name = `${variant}/nn.idx_without_mask`;
  if (golden.has(name)) await golden.compare(name, unmasked, goldenBounds.exact);

  const k = Math.min(json.get("topk").number() + 1, slots);
  const samples = await golden.integers(`${variant}/idx`);
  const owners = Int32Array.from({ length: rows }, (_, row) => samples[row % samples.length] ?? -1);
  const exclude = {
    queryIds: device.tensor(owners, [rows], "i32"),
    bankIds: device.tensor(Int32Array.from(await golden.integers(`${variant}/before/queue.idx`)), [slots], "i32"),
  };
  const ranked = nearest(queries, bank, {
    k,
    metric: "cosine",
    excludedSimilarity: -1,
    ...(json.get("training").value === true ? { exclude } : {}),
  });
  const indices = await ranked.indices.read();
  const changed = Array.from(unmasked).filter((slot, row) => slot !== indices[row * k]).length;
  golden.addScalar(json.get("samples_whose_neighbour_changes_by_the_mask"), changed, goldenBounds.exact);

  const gap = json.get("min_gap_between_consecutive_ranked_similarities");
  if (gap.value === undefined) return;
  // Both similarities are at most 1 and within the forward bound.
  const bound = (2 * goldenBounds.forward) / Math.max(gap.number(), 1e-6);
  golden.addScalar(gap, smallestStep(await ranked.similarities.read(), k), Math.max(goldenBounds.forward, bound));
}

/** Least difference of neighbours in rows that fall. */
function smallestStep(values: HostArray, columns: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 1 < values.length; i++) {
    if ((i + 1) % columns !== 0) least = Math.min(least, Number(values[i]) - Number(values[i + 1]));
  }
  return least;
}
