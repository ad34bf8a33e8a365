import { stat } from "node:fs/promises";
import { reportDataFile } from "../../refiner/report/report_node.ts";
import { RunFolder } from "../../refiner/training/run_folder_node.ts";
import { UsageError } from "../program/usage_error.ts";

/**
 * The run folder of a command: new, or one to go on with.
 *
 * @throws UsageError if it holds a run and neither resuming nor overwriting was asked for, or there is none to resume; for a file
 */
export async function openRunFolder(
  path: string,
  options: { readonly resume: boolean; readonly force: boolean },
): Promise<RunFolder> {
  const isFile = await stat(path).then(
    (found) => !found.isDirectory(),
    (error: NodeJS.ErrnoException) => error.code === "ENOTDIR",
  );
  if (isFile) throw new UsageError(`${path}: a file stands there or on the way; give a folder (--out)`);
  const store = new RunFolder(path);
  const config = await store.readText("config.json");
  if (options.resume && config === undefined)
    throw new UsageError(`${path}: there is no run to resume; start one without --resume`);
  if (!options.resume && !options.force && config !== undefined) {
    throw new UsageError(
      `${path}: a run is there already; go on with --resume, start over with --force, or choose another --out`,
    );
  }
  await removeUnfinished(store);
  return store;
}

/** Removes the run that a new one replaces; called when the new one begins, so that one which cannot begin costs nothing. */
export async function removeOldRun(store: RunFolder): Promise<void> {
  if ((await store.readText("config.json")) === undefined) return;
  for (const file of await store.list("checkpoints")) await store.remove(`checkpoints/${file}`);
  const made = ["metrics.jsonl", "encoder.safetensors", "mae.safetensors", "report.html", reportDataFile];
  for (const file of [...made, "config.json"]) await store.remove(file);
}

/** Removes what a killed process left half-written beside the files that it was to replace. */
async function removeUnfinished(store: RunFolder): Promise<void> {
  for (const folder of ["", "checkpoints"]) {
    for (const file of await store.list(folder)) {
      if (file.startsWith(".") && file.endsWith(".part"))
        await store.remove(folder === "" ? file : `${folder}/${file}`);
    }
  }
}

/**
 * Settings of a run that is resumed: those of its config.json; given ones must not differ unless overriding.
 *
 * @throws UsageError that names each differing key
 */
export function resumedSettings(
  stored: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
  isOverride: boolean,
): Record<string, unknown> {
  const changed = Object.keys(given).filter((key) => JSON.stringify(given[key]) !== JSON.stringify(stored[key]));
  if (changed.length > 0 && !isOverride) {
    const list = changed
      .map((key) => `${key} (was ${JSON.stringify(stored[key])}, now ${JSON.stringify(given[key])})`)
      .join(", ");
    throw new UsageError(
      `resume: the settings differ from those of the run: ${list}; drop them, or force them with --override`,
    );
  }
  return { ...stored, ...given };
}
