import type { Source } from "./assemble_parameters.ts";
import { type Role, roleOf } from "./name_maps.ts";
import type { StateDict } from "./state_dict.ts";

/** Factors of LayerScale behind a linear layer. */
export interface Gain {
  readonly source: Source;
  /** Name of the parameter that they are where they are kept. */
  readonly target: string;
}

/** The tensors of a dictionary by what they are for. */
export interface SortedTensors {
  /** Parameters stored as they are, by target. */
  readonly direct: ReadonlyMap<string, Source>;
  readonly thirds: ReadonlyMap<string, readonly (Source | undefined)[]>;
  /** By the linear layer that they stand behind. */
  readonly gains: ReadonlyMap<string, Gain>;
  /** In the order of the sequence. */
  readonly tokens: readonly Source[];
  readonly positions: Source | undefined;
  readonly dropped: readonly { readonly names: readonly string[]; readonly reason: string }[];
  readonly leftOver: readonly string[];
}

interface Entry {
  readonly source: Source;
  readonly role: Role;
}

/** Sorts the tensors of a dictionary; everything else in the file counts as dropped. */
export function sortTensors(dict: StateDict): SortedTensors {
  const entries: Entry[] = [];
  const leftOver: string[] = [];
  for (const [name, { path, shape }] of dict.tensors) {
    const source = { path, shape };
    const role = roleOf(dict.anchor, name);
    if (role) entries.push({ source, role });
    else leftOver.push(source.path);
  }
  const direct = new Map(
    entries.flatMap(({ role, source }) => (role.kind === "parameter" ? [[role.target, source]] : [])),
  );
  const gains = new Map(
    entries.flatMap(({ role, source }) =>
      role.kind === "gain" ? [[role.layer, { source, target: role.target }] as const] : [],
    ),
  );
  for (const [layer, { source }] of gains) {
    if (direct.has(`${layer}.weight`)) continue;
    gains.delete(layer);
    leftOver.push(source.path);
  }
  return {
    direct,
    gains,
    leftOver,
    thirds: sortThirds(entries),
    tokens: entries
      .flatMap(({ role, source }) => (role.kind === "token" ? [{ order: role.order, source }] : []))
      .sort((a, b) => a.order - b.order)
      .map(({ source }) => source),
    positions: entries.findLast(({ role }) => role.kind === "positions")?.source,
    dropped: droppedTensors(dict, entries),
  };
}

function sortThirds(entries: readonly Entry[]): Map<string, (Source | undefined)[]> {
  const sorted = new Map<string, (Source | undefined)[]>();
  for (const { role, source } of entries) {
    if (role.kind !== "third") continue;
    const thirds = sorted.get(role.target) ?? [undefined, undefined, undefined];
    thirds[role.third] = source;
    sorted.set(role.target, thirds);
  }
  return sorted;
}

/** What is left out, by the reason. */
function droppedTensors(dict: StateDict, entries: readonly Entry[]): SortedTensors["dropped"] {
  const reasons = new Map<string, string[]>();
  const drop = (reason: string, names: readonly string[]): void => {
    const dropped = reasons.get(reason) ?? [];
    for (const name of names) dropped.push(name); // a spread of very many would overflow the stack
    reasons.set(reason, dropped);
  };
  for (const { role, source } of entries) if (role.kind === "dropped") drop(role.reason, [source.path]);
  if (dict.beside.length > 0) drop("beside the encoder", dict.beside);
  for (const [container, names] of dict.elsewhere)
    drop(`in ${container.split("/")[0] || "the top"}, not the encoder's`, names);
  return [...reasons].map(([reason, names]) => ({ names, reason }));
}
