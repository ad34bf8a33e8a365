import { viewRows } from "../../engine/core/tensor.ts";
import type { Arena, HostArray, Tensor } from "../../engine/index.ts";
import { ownFloats, sumPieceElements } from "./arena_sum.ts";
import type { Exchange } from "./exchange.ts";
import { joinSubtrees, type Span, treePlan } from "./sum_tree.ts";

/** Subtrees of all ranks. */
export interface SharedTree {
  readonly parts: number;
  /** By rank, in the order of the parts. */
  readonly roots: readonly (readonly Span[])[];
}

/** The tree of parts that ranks share evenly, each a run of them. */
export function sharedTree(parts: number, ranks: number): SharedTree {
  const count = parts / ranks;
  const roots = Array.from({ length: ranks }, (_, rank) => {
    return treePlan(parts, { from: rank * count, to: (rank + 1) * count }).roots;
  });
  return { parts, roots };
}

/**
 * Replaces the values of the first arena by the sums over all parts of a batch, added by their fixed tree: the bits do not depend on the
 * number of ranks, nor on how MPI would add. Piece by piece: each rank gets its share of the sums of all subtrees, joins them, and
 * tells all the result; with one subtree per rank that is as much traffic as a ring has, 2 (N − 1) / N of the arena.
 *
 * @param slots - hold the sums of this rank's subtrees, in their order, and perhaps others behind them
 * @throws DeviceLostError
 */
export async function sumTree(slots: readonly Arena[], tree: SharedTree, exchange: Exchange): Promise<void> {
  const [target] = slots;
  if (!target) return;
  const own = tree.roots[exchange.rank] ?? [];
  const pieces = target.chunks.flatMap((chunk, at) => {
    const held = slots.slice(0, own.length).flatMap((slot) => slot.chunks[at] ?? []);
    return piecesOf(chunk).map(({ from, to }) => held.map((one) => viewRows(one, from, to)));
  });
  let coming = read(pieces[0]);
  for (const [i, piece] of pieces.entries()) {
    const values = (await coming).map(ownFloats);
    coming = read(pieces[i + 1]);
    const [place] = piece;
    if (place) place.device.write(place, await summed(values, tree, exchange));
  }
}

function piecesOf({ size }: Tensor): Span[] {
  return Array.from({ length: Math.ceil(size / sumPieceElements) }, (_, i) => ({
    from: i * sumPieceElements,
    to: Math.min(size, (i + 1) * sumPieceElements),
  }));
}

function read(tensors: readonly Tensor[] = []): Promise<readonly HostArray[]> {
  const values = Promise.all(tensors.map((tensor) => tensor.read()));
  values.catch(() => undefined); // reported when its turn comes
  return values;
}

/** @param own - sums of this rank's subtrees */
async function summed(
  own: readonly Float32Array<ArrayBuffer>[],
  { parts, roots }: SharedTree,
  exchange: Exchange,
): Promise<Float32Array> {
  const [first] = own;
  const length = first?.length ?? 0;
  const share = Math.ceil(length / exchange.size);
  const dealt: Float32Array<ArrayBuffer>[] = [];
  const rounds = Math.max(...roots.map((some) => some.length));
  for (let round = 0; round < rounds; round++)
    dealt.push(await exchange.deal(padded(own[round], share * exchange.size)));
  const subtrees = roots.flatMap((some, rank) =>
    some.map((span, round) => ({
      span,
      values: dealt[round]?.subarray(rank * share, (rank + 1) * share) ?? new Float32Array(share),
    })),
  );
  const whole = await exchange.spread(Float32Array.from(joinSubtrees(parts, subtrees)));
  return whole.subarray(0, length);
}

/** Values in an array of that length; zeros where a rank has none. */
function padded(values: Float32Array<ArrayBuffer> | undefined, length: number): Float32Array<ArrayBuffer> {
  if (values?.length === length) return values;
  const all = new Float32Array(length);
  if (values) all.set(values);
  return all;
}
