import { EngineError } from "../../engine/index.ts";
import { runCheckpointFiles } from "../training/run_checkpoint.ts";
import type { RunStore } from "../training/run_store.ts";
import { StateDifferenceError } from "../training/state_difference_error.ts";
import { type HashLine, readHashes, type StateLine } from "./hash_log.ts";
import { type RunDifference, RunDiffers, VerifiedStore } from "./verified_store.ts";

/** A run that cannot be verified as it was asked for. */
export class VerificationError extends EngineError {}

/** Which updates are computed again. */
export interface VerifiedRange {
  /**
   * Completed updates of all stages that the first one goes on from: those of a kept checkpoint, or 0 for the beginning. Default:
   * the oldest kept checkpoint that hashes follow, else the beginning.
   */
  readonly from?: number | undefined;
  /** How many; default all that have hashes. */
  readonly updates?: number | undefined;
}

/** What verifying a run found. */
export interface Verification {
  /** Completed updates of all stages before the first that was computed. */
  readonly from: number;
  /** Updates whose batch and state have the recorded hashes. */
  readonly equal: number;
  /** Updates that were to be computed. */
  readonly updates: number;
  readonly difference?: RunDifference;
  /** Whether the programs have the recorded digests, too; other adapters and numbers of ranks may have other ones, and the same bits. */
  readonly hasSamePrograms: boolean;
}

/**
 * Computes updates of a reproducible run again, from one of its checkpoints or the beginning, and compares hashes of batches and
 * states with those that it recorded, and states with its checkpoints byte by byte. Nothing is written.
 *
 * @param train - trains with the settings of the run in a store, from its checkpoint up to a number of updates
 * @throws VerificationError for a run without hashes, or that has none in the range; CheckpointError for a damaged checkpoint
 */
export async function verifyRun(
  run: RunStore,
  range: VerifiedRange,
  train: (store: RunStore, until: number) => Promise<void>,
): Promise<Verification> {
  const lines = await readHashes(run);
  if (!lines)
    throw new VerificationError(
      `${run.name}: the run recorded no hashes; only runs that were trained with --reproducible can be verified, and those of demo record none`,
    );
  const { from, file, until } = await placeOf(run, lines, range);
  const store = new VerifiedStore(run, lines, file);
  await train(store, until).catch((error: unknown) => {
    if (error instanceof StateDifferenceError) store.difference ??= differenceOf(error, lines);
    else if (!(error instanceof RunDiffers)) throw error;
  });
  const { equal, difference, hasSamePrograms } = store;
  const updates = until - from;
  if (!difference && equal !== updates)
    throw new VerificationError(
      `${run.name}: ${equal} of ${updates} updates were computed again; lines of hashes.jsonl are missing: verify less by --from and --updates`,
    );
  return { from, equal, updates, hasSamePrograms, ...(difference ? { difference } : {}) };
}

/** The checkpoint itself is not what the run recorded. */
function differenceOf({ updates, tensors }: StateDifferenceError, lines: readonly HashLine[]): RunDifference {
  const line = lines.find((one): one is StateLine => one.kind === "state" && one.updates === updates);
  return { what: "checkpoint", stage: line?.stage ?? 0, update: line?.update ?? 0, updates, tensors };
}

interface Place {
  readonly from: number;
  readonly file: string | undefined;
  readonly until: number;
}

async function placeOf(run: RunStore, lines: readonly HashLine[], { from, updates }: VerifiedRange): Promise<Place> {
  const last = Math.max(0, ...lines.map((line) => (line.kind === "state" ? line.updates : 0)));
  const files = new Map((await runCheckpointFiles(run)).map((file) => [updatesOf(file), file]));
  const starts = [...files.keys(), 0].filter((start) => start < last);
  const start = from ?? starts[0];
  if (start === undefined || !starts.includes(start)) {
    const kept = starts.length > 0 ? starts.sort((a, b) => a - b).join(", ") : "none";
    throw new VerificationError(
      `${run.name}: there is no checkpoint after ${from ?? 0} updates with hashes behind it; --from may be ${kept}`,
    );
  }
  const until = updates === undefined ? last : start + updates;
  if (until > last)
    throw new VerificationError(
      `${run.name}: hashes reach to update ${last}, ${until - last} fewer than asked for; use --updates ${last - start}`,
    );
  return { from: start, file: files.get(start), until };
}

function updatesOf(file: string): number {
  return Number.parseInt(file.slice(file.lastIndexOf("/") + 1), 10);
}
