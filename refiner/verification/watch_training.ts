import { OptionError } from "../../engine/index.ts";
import { type Exchange, oneRank } from "../exchange/exchange.ts";
import type { RunStore } from "../training/run_store.ts";
import { type HashedMethod, HashedUpdates } from "./hashed_updates.ts";

/** Settings that say whether updates are hashed. */
export interface HashSettings {
  readonly reproducible: boolean;
  readonly recheck: number;
}

/**
 * What hashes the updates of a training, where its settings ask for it.
 *
 * @throws OptionError for rechecks of a training that is not reproducible
 */
export function watchTraining(
  method: HashedMethod,
  { reproducible, recheck }: HashSettings,
  store: RunStore,
  exchange: Exchange = oneRank,
): HashedUpdates | undefined {
  if (reproducible) return new HashedUpdates(method, { store, recheck, exchange });
  if (recheck === 0) return undefined;
  throw new OptionError(
    `${method.name}: recheck ${recheck} needs reproducible: updates are compared by hashes; set reproducible, or recheck 0`,
  );
}
