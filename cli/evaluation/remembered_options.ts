import { resolve } from "node:path";
import type { Command } from "commander";
import { resumedSettings } from "../runs/stored_run.ts";

/** Options that are no part of what is evaluated, and are given anew where a run goes on. */
const notRemembered = new Set(["resume", "override", "force", "json", "quiet", "out"]);
/** Options that name what is read. */
const paths = new Set([
  ...["weights", "images", "test", "compare", "predictions", "confusion", "config"],
  ...["masks", "testMasks", "predictedMasks", "overlays", "perClass"],
  ...["subset", "assignments", "corrupted", "classifier", "checkpoints"],
]);

/** Options of the command line that a run remembers, with whole paths. */
export function givenOptions(command: Command): Record<string, unknown> {
  const given = Object.entries(command.opts<Record<string, unknown>>()).filter(
    ([name]) => command.getOptionValueSource(name) === "cli" && !notRemembered.has(name),
  );
  return Object.fromEntries(given.map(([name, value]) => [name, paths.has(name) ? whole(value) : value]));
}

/** One path or several, wherever the run is gone on with. */
function whole(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(whole);
  return typeof value === "string" ? resolve(value) : value;
}

/**
 * Gives a command the options that its run began with, as if they were on the command line.
 *
 * @throws UsageError for one that was given with another value, unless overriding
 */
export function recallOptions(command: Command, stored: Readonly<Record<string, unknown>>, isOverride: boolean): void {
  const all = resumedSettings(stored, givenOptions(command), isOverride);
  for (const [name, value] of Object.entries(all)) command.setOptionValueWithSource(name, value, "cli");
}
