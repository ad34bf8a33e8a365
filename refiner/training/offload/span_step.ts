import { viewRows } from "../../../engine/core/tensor.ts";
import {
  type AdamWOperands,
  type Arena,
  adamW,
  OptionError,
  type Program,
  type Tensor,
} from "../../../engine/index.ts";
import type { ChunkRange, Span } from "./arena_spans.ts";
import { HostArena } from "./host_arena.ts";

/** State of an arena's layout, on the device or on the host. */
export type StateArena = Arena | HostArena;

/** Where some parameters lie, with the group of each of their blocks. */
export interface SpanTables extends Span {
  readonly blockGroups: Tensor;
}

/** What AdamW works on: parameters and average in one layout, gradients and moments in that of what is trained. */
export interface UpdatedState {
  /** Where they lie on the host, {@link working} is what programs compute with. */
  readonly parameters: StateArena;
  readonly working?: { update(program: Program, range: ChunkRange, values: Tensor): void };
  readonly gradients: Arena;
  readonly firstMoment: StateArena;
  readonly secondMoment: StateArena;
  readonly average?: StateArena;
  readonly groups: Tensor;
  readonly spans: readonly SpanTables[];
}

/** An array on the host, and in which of the two layouts it is. */
interface HostArray {
  readonly arena: HostArena;
  readonly of: keyof Span;
}

/** What of the state lies on the host. */
export function hostArraysOf({ parameters, firstMoment, secondMoment, average }: UpdatedState): HostArray[] {
  const all = [
    { arena: parameters, of: "whole" },
    { arena: firstMoment, of: "part" },
    { arena: secondMoment, of: "part" },
    { arena: average, of: "whole" },
  ] as const;
  return all.flatMap(({ arena, of }) => (arena instanceof HostArena ? [{ arena, of }] : []));
}

/**
 * Records AdamW over some parameters.
 *
 * @param staged - where values of the host lie on the device, from the beginning of the tensors on
 * @throws OptionError where an arena has another layout than the parameters
 */
export function recordSpan(
  program: Program,
  state: UpdatedState,
  { whole, part, blockGroups }: SpanTables,
  scalars: Tensor,
  staged: ReadonlyMap<HostArena, Tensor | undefined> = new Map(),
): void {
  const at = (arena: StateArena | undefined, { chunk, from, to }: ChunkRange): Tensor | undefined => {
    if (!(arena instanceof HostArena)) return arena?.chunks[chunk] && viewRows(arena.chunks[chunk], from, to);
    const tensor = staged.get(arena);
    return tensor && viewRows(tensor, 0, to - from);
  };
  const average = state.average && { average: at(state.average, whole) };
  const operands = {
    parameters: at(state.parameters, whole),
    gradients: at(state.gradients, part),
    firstMoment: at(state.firstMoment, part),
    secondMoment: at(state.secondMoment, part),
    ...average,
    blockGroups,
    groups: state.groups,
    scalars,
  };
  if (!isComplete(operands)) {
    const missing = Object.entries(operands).flatMap(([name, x]) => (x === undefined ? [name] : []));
    throw new OptionError(
      `${state.parameters.name}: chunk ${whole.chunk} has no ${missing.join(", ")}; state has the layout of its parameters`,
    );
  }
  adamW(program, operands);
}

function isComplete(operands: Partial<AdamWOperands>): operands is AdamWOperands {
  return Object.values(operands).every((x) => x !== undefined);
}
