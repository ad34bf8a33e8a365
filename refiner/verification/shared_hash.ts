import { EngineError } from "../../engine/index.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { valueChecksum } from "../training/lane_checksum.ts";
import type { StateEntry } from "../training/run_state.ts";
import { StateHash } from "../training/state_hash.ts";

/**
 * The hash of the state of all ranks, at each of them, from those of their parts; what all hold must be the same everywhere.
 *
 * @param whole - the state of all ranks; undefined for one process, whose hash it is
 * @throws EngineError, at all ranks, where one holds something else
 */
export async function sharedHash(
  own: StateHash,
  whole: readonly StateEntry[] | undefined,
  exchange: Exchange,
): Promise<StateHash> {
  if (!whole) return own;
  const hashOf = ({ name }: StateEntry): string => own.tensors.get(name) ?? "";
  const common = whole.filter(({ owner }) => owner === undefined);
  const held = whole.filter(({ owner }) => owner === exchange.rank);
  const told = await exchange.share([valueChecksum(common.map(hashOf)), ...held.map(hashOf)].join(" "));
  const ranks = told.map((text) => text.split(" "));
  const digests = ranks.map((hashes) => hashes.shift());
  const other = digests.findIndex((digest) => digest !== digests[0]);
  if (other >= 0)
    throw new EngineError(
      `hashes: rank ${other} has another encoder than rank 0: a bit flipped on one of their machines, or an adapter is not reproducible; check each by mimrefine doctor --reproducible, and go on from the last checkpoint with --resume`,
    );
  return new StateHash(
    new Map(
      whole.map((entry) => [
        entry.name,
        entry.owner === undefined ? hashOf(entry) : (ranks[entry.owner]?.shift() ?? ""),
      ]),
    ),
  );
}
