import { EngineError } from "../../engine/index.ts";

/** Where a state is another than it must be. */
export interface DifferencePlace {
  /** Completed updates of all stages. */
  readonly updates: number;
  /** Tensors that differ, by their names in run checkpoints; empty where only the whole tells. */
  readonly tensors: readonly string[];
}

/** The state of a run, or what an update makes of it, has other bits than it must have. */
export class StateDifferenceError extends EngineError {
  readonly updates: number;
  readonly tensors: readonly string[];

  /** @param remedy - what the user can do */
  constructor(what: string, { updates, tensors }: DifferencePlace, remedy: string) {
    super(`${what}: ${namesOf(tensors)}; ${remedy}`);
    this.updates = updates;
    this.tensors = tensors;
  }
}

/** Some names in words. */
export function namesOf(tensors: readonly string[]): string {
  const [first, ...others] = tensors;
  if (first === undefined) return "no single tensor is told by its tag";
  return others.length === 0 ? `${first} differs` : `${first} and ${others.length} more tensors differ`;
}
