import type { Command, Storage, Tensor } from "../core/recording.ts";
import type { StateStorage } from "../core/storage.ts";
import { stateOf } from "../core/tensor.ts";

/** Where a virtual storage lies: in an arena buffer of the program, or inside state that it is assigned to. */
export type Placement =
  | { readonly arena: number; readonly offset: number }
  | { readonly state: StateStorage; readonly offset: number };

export interface PlannedCommand {
  readonly command: Command;
  readonly inPlace: boolean;
}

/** Storages of a command, split by access. */
export interface Accesses {
  readonly reads: Storage[];
  readonly writes: Storage[];
}

export function accesses(command: Command, inPlace = false): Accesses {
  const storage = (x: Tensor): Storage => stateOf(x) ?? x.storage;
  if (command.type === "assign") return { reads: [storage(command.source)], writes: [storage(command.target)] };
  const reads: Storage[] = [];
  const writes: Storage[] = [];
  const kernel = inPlace && command.options.inPlace ? command.options.inPlace.kernel : command.kernel;
  for (const { name, access } of kernel.bindings) {
    const operand = command.operands[name];
    if (access !== "uniform" && operand) (access === "write" ? writes : reads).push(storage(operand));
  }
  return { reads, writes };
}
