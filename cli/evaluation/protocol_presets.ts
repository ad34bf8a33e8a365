import type { Command } from "commander";
import { presetText } from "../program/preset_text.ts";
import { UsageError } from "../program/usage_error.ts";
import type { UsedPreset } from "./evaluation_line.ts";

/** Values of a protocol's options by their names, for the published settings and for small sets of images. */
export type ProtocolPresets = Readonly<Record<"paper" | "small", Readonly<Record<string, unknown>>>>;

/**
 * Gives options the values of the preset that the command line names; those on the command line win.
 *
 * @returns undefined where none is named
 * @throws UsageError for an unknown one
 */
export function applyPreset(
  protocol: { readonly name: string; readonly presets?: ProtocolPresets },
  command: Command,
): UsedPreset | undefined {
  const name: unknown = command.getOptionValue("preset");
  if (protocol.presets === undefined || name === undefined) return undefined;
  if (name !== "paper" && name !== "small")
    throw new UsageError(`evaluate ${protocol.name}: there is no preset ${name}; choose from paper, small`);
  const sets = protocol.presets[name];
  for (const [key, value] of Object.entries(sets))
    if (command.getOptionValueSource(key) !== "cli") command.setOptionValueWithSource(key, value, "preset");
  return { name, sets: { ...sets } };
}

/** What a preset sets, in words. @param used - the settings that are used: options and files may say otherwise */
export function usedPresetText({ name, sets }: UsedPreset, used: object): string {
  return presetText(name, sets, { ...used });
}
