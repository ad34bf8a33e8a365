import { reportDataFile } from "../../refiner/report/report_node.ts";
import { RunFolder } from "../../refiner/training/run_folder_node.ts";
import { WorkingStore } from "../../refiner/training/working_store.ts";
import { hashesFile } from "../../refiner/verification/hash_log.ts";
import { VtabResults } from "../../refiner/vtab/vtab_results.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { FinishedShots } from "./finished_shots.ts";
import { configFile } from "./stored_run.ts";

/** Files that a run leaves beside its checkpoints; the one that tells that a run is there comes last, and is removed last. */
export const runFiles: readonly string[] = [
  "metrics.jsonl",
  hashesFile,
  "encoder.safetensors",
  "mae.safetensors",
  "head.safetensors",
  "receipt.json",
  "table.csv",
  "classifier.safetensors",
  "report.html",
  "evaluation_data.json",
  reportDataFile,
  configFile,
];

/** Folder of the second encoder of a comparison, within that of the first: an evaluation without one must not find an older one's. */
export const comparedPart = "compared";

/**
 * The run folder of a command: new, or one to go on with.
 *
 * @throws UsageError if it holds a run and neither resuming nor overwriting was asked for, or there is none to resume; for a
 *   file, and where one of the files that are read is one that the run writes; otherwise as `checkTouchedPaths` does
 * @throws RunFolderError if another process works in the folder
 */
export async function openRunFolder(
  command: string,
  path: string,
  options: {
    readonly resume: boolean;
    readonly force: boolean;
    /** What the run reads, by the option that names it. */
    readonly reads?: Readonly<Record<string, string | undefined>>;
  },
): Promise<HeldRunFolder> {
  const store = new RunFolder(path);
  const { resume, force, reads = {} } = options;
  await checkTouchedPaths(command, { reads, folder: { path, files: runFiles } });
  const check = async (): Promise<void> => {
    const config = await store.readText(configFile);
    if (resume && config === undefined)
      throw new UsageError(`${path}: there is no run to resume; start one without --resume`);
    if (!resume && !force && config !== undefined) {
      throw new UsageError(
        `${path}: a run is there already; go on with --resume, start over with --force, or choose another --out`,
      );
    }
  };
  await check(); // before a folder is made for the lock
  const release = await store.hold();
  try {
    await check(); // another process may have begun a run meanwhile
    await removeUnfinished(store);
    return { store, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A run folder that no other process works in until it is released. */
export interface HeldRunFolder {
  readonly store: RunFolder;
  readonly release: () => Promise<void>;
}

/** Removes the run that a new one replaces; called when the new one begins, so that one which cannot begin costs nothing. */
export async function removeOldRun(store: RunFolder): Promise<void> {
  if ((await store.readText(configFile)) === undefined) return;
  for (const part of [store.part(comparedPart), store]) {
    for (const file of await part.list("checkpoints")) await part.remove(`checkpoints/${file}`);
    // Of other weights, perhaps: nothing in them says whose they are.
    await FinishedShots.begin(part);
    await new VtabResults(part).clear();
    await new WorkingStore(part).clear();
    for (const file of runFiles) await part.remove(file);
  }
}

/** Removes what a killed process left half-written beside the files that it was to replace. */
async function removeUnfinished(store: RunFolder): Promise<void> {
  for (const part of [store.part(comparedPart), store])
    for (const folder of ["", "checkpoints", "features"]) await removeParts(part, folder);
}

async function removeParts(store: RunFolder, folder: string): Promise<void> {
  for (const file of await store.list(folder))
    if (file.startsWith(".") && file.endsWith(".part")) await store.remove(folder === "" ? file : `${folder}/${file}`);
}
