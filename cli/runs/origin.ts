import { openCheckpoint } from "../../engine/files/index.ts";
import { runCheckpointFiles } from "../../refiner/training/run_checkpoint.ts";
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import { wholeDigest } from "../checkpoints/weights_digest.ts";
import type { Output } from "../output/streams.ts";
import { UsageError } from "../program/usage_error.ts";

/** What run checkpoints say about where their run came from. */
export type Origin = () => Promise<Readonly<Record<string, string>>>;

const key = "weightsDigest";

/** The digest of all bytes of the weights, computed when it is first asked for: with the first checkpoint, not before the first update. */
export function originOf(weights: string): Origin {
  let digest: Promise<string> | undefined;
  return async () => {
    digest ??= wholeDigest(weights);
    return { [key]: await digest };
  };
}

/** @throws UsageError if the newest checkpoint came from other weights, and overriding was not asked for */
export async function checkOrigin(
  store: RunFolder,
  origin: Origin,
  { isOverride, output }: { readonly isOverride: boolean; readonly output: Output },
): Promise<void> {
  const stated = await statedDigest(store);
  if (stated === undefined || stated === (await origin())[key]) return;
  const text = "resume: the weights (the digest of the whole file) differ from those of the run";
  if (!isOverride) throw new UsageError(`${text}; give the same --weights, or force it with --override`);
  output.warning(`${text}; going on, since --override was given`);
}

/** Of the newest checkpoint that can be read; what is damaged is told when it is restored. */
async function statedDigest(store: RunFolder): Promise<string | undefined> {
  for (const file of (await runCheckpointFiles(store)).reverse()) {
    const checkpoint = await openCheckpoint(await store.open(file)).catch(() => undefined);
    if (!checkpoint) continue;
    const digest = checkpoint.metadata.get(key);
    await checkpoint.close();
    return digest;
  }
  return undefined;
}
