import type { Checkpoint, TensorInfo } from "../../engine/files/index.ts";
import { UnknownModelError } from "./errors.ts";

/** Names of the patch embedding's weight in the families that can be read. */
const patchWeights = [
  "patch_embed.proj.weight",
  "modality_encoders.IMAGE.local_encoder.proj.weight",
  "embeddings.patch_embeddings.projection.weight",
] as const;

/** One state dictionary of a file, with the encoder's names in it. */
export interface StateDict {
  /** Path of the dictionary in the file, empty at the top. */
  readonly container: string;
  /** What stands in front of the encoder's names, such as `backbone.`. */
  readonly prefix: string;
  /** Name of the patch embedding's weight, without the prefix; it tells the naming scheme. */
  readonly anchor: string;
  /** Tensors below the prefix, by the rest of their name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Tensors of the same dictionary beside the prefix. */
  readonly beside: readonly string[];
  /** Tensors elsewhere in the file, by dictionary. */
  readonly elsewhere: ReadonlyMap<string, readonly string[]>;
  /** Other places that hold an encoder, too. */
  readonly alternatives: readonly string[];
}

/** Full name of a tensor of the dictionary in the file. */
export function pathOf(dict: Pick<StateDict, "container" | "prefix">, name: string): string {
  return `${dict.container === "" ? "" : `${dict.container}/`}${dict.prefix}${name}`;
}

interface Place {
  readonly container: string;
  readonly prefix: string;
  readonly anchor: string;
}

/**
 * Finds the state dictionary that holds an encoder, by the name of its patch embedding. Of several, the averaged one is
 * taken (teacher, target encoder, momentum encoder, EMA), as the published evaluations do.
 *
 * @param wanted - path of the dictionary and prefix to take, as `alternatives` lists them
 * @param file - what messages call the file
 * @throws UnknownModelError if no patch embedding is found, or none where it was wanted
 */
export function findStateDict(checkpoint: Checkpoint, wanted: string | undefined, file: string): StateDict {
  const names = [...checkpoint.tensors.keys()];
  const places = names.flatMap(placeOf);
  const chosen =
    wanted === undefined
      ? places.sort((a, b) => rank(a) - rank(b) || label(a).length - label(b).length)[0]
      : places.find((place) => label(place) === wanted);
  if (!chosen) throw notFound(file, names, places, wanted);
  const head = pathOf(chosen, "");
  const root = chosen.container === "" ? "" : `${chosen.container}/`;
  const tensors = new Map<string, TensorInfo>();
  const beside: string[] = [];
  const elsewhere = new Map<string, string[]>();
  for (const [name, info] of checkpoint.tensors) {
    const container = containerOf(name);
    if (container === chosen.container && name.startsWith(head)) tensors.set(name.slice(head.length), info);
    else if (container === chosen.container) beside.push(name.slice(root.length));
    else elsewhere.set(container, [...(elsewhere.get(container) ?? []), name]);
  }
  return {
    ...chosen,
    tensors,
    beside,
    elsewhere,
    alternatives: places.filter((place) => place !== chosen).map(label),
  };
}

function containerOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function placeOf(path: string): Place[] {
  const container = containerOf(path);
  const name = container === "" ? path : path.slice(container.length + 1);
  const anchor = patchWeights.find((weight) => name === weight || name.endsWith(`.${weight}`));
  return anchor ? [{ container, prefix: name.slice(0, name.length - anchor.length), anchor }] : [];
}

function label({ container, prefix }: Place): string {
  return pathOf({ container, prefix }, "");
}

/** Lower is preferred. */
function rank(place: Place): number {
  const words = label(place);
  // data2vec's `_ema` is the training's own average, which the published loader drops.
  if (/(^|\/)_ema(\/|\.|$)/.test(words)) return 3;
  if (/(^|[/._])(student|base_encoder|online|query_encoder)([/._]|$)/.test(words)) return 3;
  if (/(^|[/._])(teacher|target_encoder|momentum_encoder|ema)([/._]|$)/.test(words)) return 0;
  return /(^|\/)(optimizer|optim)(\/|$)/.test(words) ? 4 : 1;
}

function notFound(
  file: string,
  names: readonly string[],
  places: readonly Place[],
  wanted: string | undefined,
): UnknownModelError {
  if (wanted !== undefined) {
    const choices = places.map((place) => JSON.stringify(label(place))).join(", ") || "none";
    return new UnknownModelError(
      `${file}: no encoder at ${JSON.stringify(wanted)}; the file has them at: ${choices}; give one of these (--place)`,
    );
  }
  const some = names
    .slice(0, 4)
    .map((name) => JSON.stringify(name))
    .join(", ");
  return new UnknownModelError(
    `${file}: no vision transformer among ${names.length} tensors (${some}${names.length > 4 ? ", …" : ""}); expected a patch embedding named ${patchWeights.join(" or ")}: give the checkpoint of a plain ViT`,
  );
}
