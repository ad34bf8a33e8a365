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
  /** Tensors below the prefix, by the rest of their name without the words of wrappers. */
  readonly tensors: ReadonlyMap<string, StoredInfo>;
  /** What stands below the prefix and is no tensor that can be read, likewise: what it is. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Tensors of the same dictionary beside the prefix. */
  readonly beside: readonly string[];
  /** Tensors elsewhere in the file, by dictionary. */
  readonly elsewhere: ReadonlyMap<string, readonly string[]>;
  /** Other places that hold an encoder, too. */
  readonly alternatives: readonly string[];
}

/** A tensor of a dictionary, and its path in the file. */
export interface StoredInfo extends TensorInfo {
  readonly path: string;
}

/** Path in the file of what messages call by its name in the dictionary. */
export function pathOf(dict: Pick<StateDict, "container" | "prefix">, name: string): string {
  return `${dict.container === "" ? "" : `${dict.container}/`}${dict.prefix}${name}`;
}

interface Place {
  readonly container: string;
  readonly prefix: string;
  readonly anchor: string;
}

/**
 * Words that wrappers put into names, before any part of them: FullyShardedDataParallel and its activation checkpoints, `torch.compile`,
 * DataParallel within a model.
 */
const wrapperWords =
  /(^|\.)(?:(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod|_fpw_module|_forward_module|_module|module)\.)+/g;

/** A name without the words of wrappers. */
export function unwrapped(name: string): string {
  return name.replace(wrapperWords, "$1");
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
  const places = distinct(names.flatMap(placeOf));
  const ranked = places.map((place) => ({ place, rank: rank(place), length: label(place).length }));
  const chosen =
    wanted === undefined
      ? ranked.sort((a, b) => a.rank - b.rank || a.length - b.length)[0]?.place
      : places.find((place) => label(place) === wanted || unwrapped(label(place)) === wanted);
  if (!chosen) throw notFound(file, checkpoint, places, wanted);
  return {
    ...sortNames(checkpoint, chosen, file),
    alternatives: places.filter((place) => place !== chosen).map(label),
  };
}

/** Places whose labels differ; wrapped and plain names of one place count once. */
function distinct(places: readonly Place[]): Place[] {
  return [...new Map(places.map((place) => [label(place), place])).values()];
}

/** The tensors of a file by where they stand. @throws UnknownModelError if two names differ by words of wrappers only */
function sortNames(checkpoint: Checkpoint, chosen: Place, file: string): Omit<StateDict, "alternatives"> {
  const head = unwrapped(chosen.prefix);
  const tensors = new Map<string, StoredInfo>();
  const unreadable = new Map<string, string>();
  const beside: string[] = [];
  const elsewhere = new Map<string, string[]>();
  for (const [path, { dtype, shape, sizeBytes }] of checkpoint.tensors) {
    const container = containerOf(path);
    if (container !== chosen.container) {
      const found = elsewhere.get(container);
      if (found) found.push(path);
      else elsewhere.set(container, [path]);
      continue;
    }
    const name = unwrapped(nameIn(container, path));
    if (!name.startsWith(head)) {
      beside.push(path);
      continue;
    }
    const rest = name.slice(head.length);
    const twin = tensors.get(rest);
    const later = twin ? lesserTwin(twin.path, path, pathOf(chosen, ""), file) : undefined;
    if (later !== undefined) beside.push(later);
    if (later === path) continue;
    tensors.set(rest, { path, dtype, shape, sizeBytes });
  }
  for (const [path, reason] of checkpoint.unreadable) {
    const name = unwrapped(nameIn(chosen.container, path));
    if (containerOf(path) === chosen.container && name.startsWith(head))
      unreadable.set(name.slice(head.length), reason);
  }
  return { ...chosen, tensors, unreadable, beside, elsewhere };
}

/**
 * Of two paths that are one name but for words of wrappers, the one that does not begin as the place is called.
 *
 * @throws UnknownModelError if both do
 */
function lesserTwin(first: string, second: string, head: string, file: string): string {
  if (!second.startsWith(head)) return second;
  if (!first.startsWith(head)) return first;
  throw new UnknownModelError(
    `${file}: ${JSON.stringify(first)} and ${JSON.stringify(second)} are one name but for words of wrappers; save the state_dict of the unwrapped model`,
  );
}

/** Name of a tensor below a place, both as paths in the file, without the words of wrappers. */
export function nameBelow(place: string, path: string): string {
  const head = unwrapped(nameIn(containerOf(place), place));
  return unwrapped(nameIn(containerOf(path), path)).slice(head.length);
}

function nameIn(container: string, path: string): string {
  return container === "" ? path : path.slice(container.length + 1);
}

function containerOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function placeOf(path: string): Place[] {
  const container = containerOf(path);
  const name = nameIn(container, path);
  const plain = unwrapped(name);
  const anchor = patchWeights.find((weight) => plain === weight || plain.endsWith(`.${weight}`));
  if (!anchor) return [];
  // The prefix as it is called in the file, where no wrapper stands within the anchor's own name.
  const prefix = name.endsWith(anchor)
    ? name.slice(0, name.length - anchor.length)
    : plain.slice(0, plain.length - anchor.length);
  return [{ container, prefix, anchor }];
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
  checkpoint: Checkpoint,
  places: readonly Place[],
  wanted: string | undefined,
): UnknownModelError {
  if (wanted !== undefined) {
    const few = places.slice(0, 20).map((place) => JSON.stringify(label(place)));
    const choices = few.join(", ") + (places.length > few.length ? ", …" : "") || "none";
    return new UnknownModelError(
      `${file}: no encoder at ${JSON.stringify(wanted)}; the file has them at: ${choices}; give one of these (--place)`,
    );
  }
  for (const [path, reason] of checkpoint.unreadable) {
    if (placeOf(path).length > 0)
      return new UnknownModelError(
        `${file}: ${path} is ${reason}, which cannot be read; convert it to a plain tensor of floats where the file was made`,
      );
  }
  const names = [...checkpoint.tensors.keys()];
  const some = names
    .slice(0, 4)
    .map((name) => JSON.stringify(name))
    .join(", ");
  return new UnknownModelError(
    `${file}: no vision transformer among ${names.length} tensors (${some}${names.length > 4 ? ", …" : ""}); expected a patch embedding named ${patchWeights.join(" or ")}: give the checkpoint of a plain ViT`,
  );
}
