import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { OptionError } from "../../engine/index.ts";
import { UsageError } from "./usage_error.ts";

/** A strict object schema whose keys are settings. */
type SettingsSchema = z.ZodObject;

interface SettingInfo {
  readonly key: string;
  readonly flag: string;
  readonly description: string;
  readonly default: unknown;
  readonly isBoolean: boolean;
}

/** Every setting of a schema with its option name. */
export function settingsOf(schema: SettingsSchema): SettingInfo[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return Object.entries(properties).map(([key, property]) => {
    const info = typeof property === "object" ? property : {};
    return {
      key,
      flag: settingFlag(key),
      description: info.description ?? key,
      default: info.default,
      isBoolean: info.type === "boolean",
    };
  });
}

/** `topK` is `--top-k`. */
export function settingFlag(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Adds an option per setting; `seed` is a common option already. */
export function addSettings(command: Command, schema: SettingsSchema): Command {
  for (const { key, flag, description, default: value, isBoolean } of settingsOf(schema)) {
    if (key === "seed") continue;
    const text = `${description} (default: ${Array.isArray(value) ? value.join(",") : String(value)})`;
    command.addOption(new Option(isBoolean ? flag : `${flag} <value>`, text));
  }
  return command.option("--config <file>", "settings in a YAML file; options on the command line win");
}

/**
 * Settings that the user gave, from the file and then from the command line, not yet validated.
 *
 * @throws UsageError for a file that is no list of settings
 */
export async function givenSettings(
  command: Command,
  schema: SettingsSchema,
  file?: string,
): Promise<Record<string, unknown>> {
  const settings: Record<string, unknown> = file === undefined ? {} : await readSettings(file);
  for (const { key, isBoolean } of settingsOf(schema)) {
    if (command.getOptionValueSource(key) !== "cli") continue;
    const value: unknown = command.getOptionValue(key);
    settings[key] = isBoolean || key === "seed" ? value : parseValue(String(value));
  }
  return settings;
}

/** @throws UsageError */
export async function readSettings(file: string): Promise<Record<string, unknown>> {
  const value = await parsedYaml(file);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`config: ${file} holds no settings; write one per line, such as batch: 256`);
  }
  return { ...value };
}

async function parsedYaml(file: string): Promise<unknown> {
  try {
    return parseYaml(await readFile(file, "utf8"));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(
      `config: ${file} cannot be read as YAML (${reason}); write one setting per line, such as batch: 256`,
    );
  }
}

/** Checks settings that a user gave, all in `file` if that is named. @throws UsageError for wrong keys or values */
export function checkedSettings<T>(check: () => T, file?: string): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof OptionError)
      throw new UsageError(file === undefined ? error.message : `${file}: ${error.message}`);
    throw error;
  }
}

/** `16,17,last` is a list, `0.2` a number, everything else text. */
function parseValue(text: string): unknown {
  if (text.includes(",")) return text.split(",").map((part) => parseValue(part.trim()));
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) ? number : text;
}

/** Single values for list settings are lists of one. */
export function asLists(settings: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [
      key,
      keys.includes(key) && !Array.isArray(value) ? [value] : value,
    ]),
  );
}
