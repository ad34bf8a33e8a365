import { readFile, stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { parse as parseYaml } from "yaml";
import type { z } from "zod";
import { OptionError } from "../../engine/index.ts";
import { refuseSpecialFile } from "../../engine/platform/files_node.ts";
import { type SettingProblem, SettingsError, settingsMessage } from "../../refiner/methods/setting_errors.ts";
import { type SettingType, settingTypes } from "../../refiner/methods/setting_expectations.ts";
import { type SharedOptionName, sharedOptions } from "./shared_options.ts";
import { UsageError } from "./usage_error.ts";

/** A strict object schema whose keys are settings. */
type SettingsSchema = z.ZodObject;

/** Settings that other commands have an option for: the same name and words, and what a setting adds to them. */
const sharedSettings: Readonly<Record<string, { readonly name: SharedOptionName; readonly more?: string }>> = {
  pooling: { name: "pool" },
  k: { name: "k", more: "they vote in the k-NN evaluation" },
  kTemperature: { name: "kTemperature" },
  batch: { name: "batch", more: "each makes an update" },
  maxBad: { name: "maxBad" },
  workers: { name: "workers" },
  precision: { name: "precision" },
  localViews: { name: "localViews" },
  attentionHeads: { name: "attentionHeads" },
  decoderHeads: { name: "decoderHeads" },
};

/** `topK` is `--top-k`. */
export function settingFlag(key: string): string {
  const long = /--\S+/.exec(sharedFlags(key) ?? "")?.[0];
  return long ?? `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Looked up by own names only: a foreign key may be called as a member of every object. */
function sharedSetting(key: string) {
  return Object.hasOwn(sharedSettings, key) ? sharedSettings[key] : undefined;
}

function sharedFlags(key: string): string | undefined {
  const use = sharedSetting(key);
  return use && sharedOptions[use.name].flags;
}

/** Settings that are common options of all commands. */
const commonSettings: ReadonlySet<string> = new Set(["seed", "reproducible"]);

/** Adds an option per setting that is not a common option already. */
export function addSettings(command: Command, schema: SettingsSchema): Command {
  for (const [key, type] of Object.entries(settingTypes(schema)))
    if (!commonSettings.has(key)) command.addOption(settingOption(key, type));
  return command.option("--config <file>", "settings in a YAML file; options on the command line win");
}

/** The option of a setting. Its value is checked with the others, by the schema. */
function settingOption(key: string, type: SettingType): Option {
  const info = typeof type === "boolean" ? {} : type;
  const use = sharedSetting(key);
  const option = use
    ? new Option(
        sharedOptions[use.name].flags,
        [sharedOptions[use.name].description, use.more].flatMap((text) => text ?? []).join("; "),
      )
    : new Option([settingFlag(key), placeholder(info)].join(" ").trimEnd(), info.description ?? key);
  if (info.enum) option.argChoices = info.enum.map(String);
  option.helpGroup("Settings (by their own names also keys of --config):");
  return option.default(info.default, Array.isArray(info.default) ? info.default.join(",") : String(info.default));
}

function placeholder({ type, enum: choices }: Exclude<SettingType, boolean>): string {
  if (type === "boolean") return "";
  if (choices) return "<name>";
  return type === "array" ? "<list>" : "<number>";
}

/** Settings that a user gave, not yet validated. */
export interface GivenSettings {
  readonly values: Readonly<Record<string, unknown>>;
  /** The settings file, if there is one. */
  readonly file?: string;
  /** Keys whose value stands in the file. */
  readonly fileKeys: ReadonlySet<string>;
}

/**
 * Settings from the file, and those of the command line, which win.
 *
 * @throws UsageError for a file that is no list of settings
 */
export async function givenSettings(command: Command, schema: SettingsSchema, file?: string): Promise<GivenSettings> {
  const { values: fromFile, fileKeys: keys } = file === undefined ? nothingGiven : await readSettings(file, schema);
  const values = { ...fromFile };
  const fileKeys = new Set(keys);
  for (const [key, type] of Object.entries(settingTypes(schema))) {
    const name = new Option(settingFlag(key)).attributeName();
    if (command.getOptionValueSource(name) !== "cli") continue;
    const value: unknown = command.getOptionValue(name);
    values[key] = asTyped(typeof value === "string" ? parsedValue(value) : value, type);
    fileKeys.delete(key);
  }
  return { values, fileKeys, ...(file === undefined ? {} : { file }) };
}

const nothingGiven: GivenSettings = { values: {}, fileKeys: new Set() };

/** The settings in a YAML file. @throws UsageError for a file that is no list of settings */
export async function readSettings(file: string, schema: SettingsSchema): Promise<GivenSettings> {
  const found = await parsedYaml(file);
  if (typeof found !== "object" || found === null || Array.isArray(found)) {
    throw new UsageError(`config: ${file} holds no settings; write one per line, such as batch: 256`);
  }
  const types = settingTypes(schema);
  const values = Object.fromEntries(
    Object.entries(found).map(([key, value]) => [
      key,
      asTyped(value, Object.hasOwn(types, key) ? types[key] : undefined),
    ]),
  );
  return { values, file, fileKeys: new Set(Object.keys(values)) };
}

/** All settings with comments have a few KiB; the time that YAML takes grows with the square of the number of keys. */
const largestSettingsBytes = 64 * 2 ** 10;

async function parsedYaml(file: string): Promise<unknown> {
  try {
    await refuseSpecialFile(file);
    const { size } = await stat(file);
    if (size > largestSettingsBytes) throw new UsageError(`${size} bytes, at most ${largestSettingsBytes} are read`);
    return parseYaml(await readFile(file, "utf8"));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(
      `config: ${file} cannot be read as YAML (${reason}); write one setting per line, such as batch: 256`,
    );
  }
}

/** Checks settings that a user gave. @throws UsageError that shows wrong values, and the option and key of each */
export function checkedSettings<T>(check: () => T, given: Omit<GivenSettings, "values"> = nothingGiven): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof SettingsError)
      throw new UsageError(settingsMessage(error.method, error.problems, (problem) => placeOf(problem, given)));
    if (error instanceof OptionError)
      throw new UsageError(given.file === undefined ? error.message : `${given.file}: ${error.message}`);
    throw error;
  }
}

function placeOf({ key, isUnknown }: SettingProblem, { file, fileKeys }: Omit<GivenSettings, "values">): string {
  if (isUnknown || key === undefined) return file ?? "";
  return `(${settingFlag(key)}, key ${key}${fileKeys.has(key) ? ` in ${file}` : ""})`;
}

/** `16,17,last` is a list, `0.2` a number, everything else text. */
function parsedValue(text: string): unknown {
  if (text.includes(",")) return text.split(",").map((part) => parsedValue(part.trim()));
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) ? number : text;
}

/** A single value for a setting that is a list is a list of one. */
function asTyped(value: unknown, type: SettingType | undefined): unknown {
  const isList = typeof type === "object" && type.type === "array";
  return isList && !Array.isArray(value) ? [value] : value;
}
