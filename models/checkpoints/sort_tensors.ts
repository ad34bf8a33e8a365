import type { Source } from "./assemble_parameters.ts";
import { type Role, roleOf } from "./name_maps.ts";
import { pathOf, type StateDict } from "./state_dict.ts";

/** The tensors of a dictionary by what they are for. */
export interface SortedTensors {
  /** Parameters stored as they are, by target. */
  readonly direct: Map<string, Source>;
  readonly thirds: Map<string, (Source | undefined)[]>;
  readonly gains: Map<string, Source>;
  readonly tokens: Source[];
  positions: Source | undefined;
  readonly dropped: { names: string[]; reason: string }[];
  readonly leftOver: string[];
}

/** Sorts the tensors of a dictionary; everything else in the file counts as dropped. */
export function sortTensors(dict: StateDict): SortedTensors {
  const sorted: SortedTensors = {
    direct: new Map(),
    thirds: new Map(),
    gains: new Map(),
    tokens: [],
    positions: undefined,
    dropped: [],
    leftOver: [],
  };
  const reasons = new Map<string, string[]>();
  const drop = (reason: string, ...names: string[]): void => {
    reasons.set(reason, [...(reasons.get(reason) ?? []), ...names]);
  };
  const orders: { order: number; source: Source }[] = [];
  for (const [name, { shape }] of dict.tensors) {
    const source = { path: pathOf(dict, name), shape };
    const role: Role | undefined = roleOf(dict.anchor, name);
    if (!role) sorted.leftOver.push(source.path);
    else if (role.kind === "parameter") sorted.direct.set(role.target, source);
    else if (role.kind === "positions") sorted.positions = source;
    else if (role.kind === "token") orders.push({ order: role.order, source });
    else if (role.kind === "gain") sorted.gains.set(role.layer, source);
    else if (role.kind === "dropped") drop(role.reason, source.path);
    else {
      const thirds = sorted.thirds.get(role.target) ?? [undefined, undefined, undefined];
      thirds[role.third] = source;
      sorted.thirds.set(role.target, thirds);
    }
  }
  sorted.tokens.push(...orders.sort((a, b) => a.order - b.order).map(({ source }) => source));
  if (dict.beside.length > 0)
    drop("beside the encoder", ...dict.beside.map((name) => pathOf({ ...dict, prefix: "" }, name)));
  for (const [container, names] of dict.elsewhere)
    drop(`in ${container.split("/")[0] || "the top"}, not the encoder's`, ...names);
  sorted.dropped.push(...[...reasons].map(([reason, names]) => ({ names, reason })));
  return sorted;
}
