import { OptionError } from "../../engine/index.ts";
import { layerScales, type VitConfig } from "../vit_config.ts";
import type { Claim } from "./claim.ts";

/** Key of the metadata under which safetensors files of this package hold the config. */
export const configKey = "mimrefine.config";

/** Metadata key of the number of attention heads of the decoder, which no shape tells. */
export const decoderHeadsKey = "mimrefine.decoderHeads";

/** Metadata key of the classes, the pooling and the images of a classifier. */
export const classifierKey = "mimrefine.classifier";

/** All metadata that this package writes beside weights. */
const ownKeys = [configKey, decoderHeadsKey, classifierKey, "mimrefine.names", "mimrefine.source", "mimrefine.method"];

/** Words that a value of the config may be, or a number. */
const valueKinds: Readonly<Record<keyof VitConfig, "number" | readonly string[]>> = {
  kind: ["prenorm", "postnorm"],
  patchPixels: "number",
  width: "number",
  blocks: "number",
  heads: "number",
  mlpWidth: "number",
  channels: "number",
  heightPixels: "number",
  widthPixels: "number",
  classTokens: "number",
  epsilon: "number",
  layerScale: layerScales,
};

/**
 * The config in a file of this package; no claims for any other file.
 *
 * @returns `unknown`: entries that this version does not know, each as a sentence for a message
 * @throws OptionError if the config is no JSON object, or a number in it is none
 */
export function readOwnConfig(
  metadata: ReadonlyMap<string, string>,
  file: string,
): { readonly claims: readonly Claim[]; readonly unknown: readonly string[] } {
  const unknown = [...metadata.keys()]
    .filter((key) => key.startsWith("mimrefine.") && !ownKeys.includes(key))
    .map((key) => newer(`the metadata key ${key}`, ownKeys));
  const claims: Claim[] = [];
  for (const [name, value] of Object.entries(jsonObject(metadata.get(configKey) ?? "{}", file))) {
    const entry = readEntry(name, value, file);
    if (typeof entry === "string") unknown.push(entry);
    else claims.push(entry);
  }
  return { claims, unknown };
}

/** A claim, or what to say about an entry of a newer version. @throws OptionError for a number that is none */
function readEntry(name: string, value: unknown, file: string): Claim | string {
  const path = `${configKey}: ${name}`;
  const shown = `${path} ${JSON.stringify(value)}`;
  if (!isConfigKey(name)) return newer(shown, Object.keys(valueKinds));
  const kinds = valueKinds[name];
  if (kinds === "number") {
    if (typeof value === "number") return { key: name, value, path };
    throw new OptionError(`${file}: ${shown} is not a number; correct the entry or convert the file again`);
  }
  const word = kinds.find((kind) => kind === value);
  return word === undefined ? newer(shown, kinds) : { key: name, value: word, path };
}

function isConfigKey(name: string): name is keyof VitConfig {
  return Object.hasOwn(valueKinds, name);
}

function newer(what: string, known: readonly string[]): string {
  return `${what} is unknown to this version, which knows ${known.join(", ")}; a newer mimrefine may have written it: update the package`;
}

function jsonObject(json: string, file: string): object {
  const bad = new OptionError(
    `${file}: the metadata ${configKey} is not a JSON object; remove it or convert the file again`,
  );
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw bad;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad;
  return value;
}
