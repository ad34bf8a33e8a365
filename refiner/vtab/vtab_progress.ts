import { runCheckpointFiles } from "../training/run_checkpoint.ts";
import type { RunStore } from "../training/run_store.ts";
import { VtabResults } from "./vtab_results.ts";
import { WorkingStore } from "./working_store.ts";

/** How far an evaluation by VTAB-1k is: its finished runs, and the newest checkpoint of the one that it is at. */
export async function vtabProgress(
  store: RunStore,
): Promise<{ readonly runs: number; readonly checkpoint: string | undefined }> {
  const runs = await new VtabResults(store).count();
  return { runs, checkpoint: (await runCheckpointFiles(new WorkingStore(store))).at(-1) };
}
