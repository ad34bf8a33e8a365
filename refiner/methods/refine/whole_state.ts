import type { ArenaEntry, Tensor } from "../../../engine/index.ts";
import { ownerOf } from "../../exchange/exchange.ts";
import type { StateArena } from "../../training/offload/streamed_step.ts";
import type { RunState, StateEntry } from "../../training/run_state.ts";
import { headCounters, headParameters, headStatistics } from "./head.ts";
import type { RefinerModel } from "./refiner_model.ts";

/** Arenas of a run whose tensors belong to heads, by the prefix of their names, and what a head has in them. */
const headArenas = {
  "heads.": headParameters,
  "statistics.": headStatistics,
  "counters.": headCounters,
  "optimizer.heads.m.": headParameters,
  "optimizer.heads.v.": headParameters,
  "teacher.heads.": headParameters,
  "teacher.statistics.": headStatistics,
  "teacher.counters.": headCounters,
} as const;

/** The state of all ranks together, of which `state` is one rank's part, in the order in which one process would hold it. */
export function wholeState(state: RunState, model: RefinerModel, ranks: number): StateEntry[] {
  const owned = model.placed.map((name, head) => ({ name, owner: ownerOf(head, model.placed.length, ranks) }));
  const arenas = Object.entries(state.arenas).flatMap(([prefix, arena]) => {
    const entriesOf = headEntries(prefix);
    if (!entriesOf) return placed(prefix, arena, arena.entries);
    return owned.flatMap(({ name, owner }) =>
      placed(prefix, arena, entriesOf(model.config.head, `${name}.`)).map((entry) => ({ ...entry, owner })),
    );
  });
  const queues = owned.flatMap(({ name, owner }) =>
    model.queueEntries.map((entry) => ({ ...entry, name: `${name}.${entry.name}`, owner })),
  );
  return [...arenas, ...queues, ...single(state.lossScale ?? {})];
}

function headEntries(prefix: string): (typeof headArenas)[keyof typeof headArenas] | undefined {
  return Object.entries(headArenas).find(([name]) => name === prefix)?.[1];
}

function placed(prefix: string, { dtype }: StateArena, entries: readonly ArenaEntry[]): StateEntry[] {
  return entries.map(({ name, shape }) => ({ name: `${prefix}${name}`, shape, dtype }));
}

function single(tensors: Readonly<Record<string, Tensor>>): StateEntry[] {
  return Object.entries(tensors).map(([name, { shape, dtype }]) => ({ name, shape, dtype }));
}
