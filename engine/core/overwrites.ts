import { readBy, writtenBy } from "./command.ts";
import { NoGradientError } from "./errors.ts";
import { overlap } from "./merge_commands.ts";
import type { Command, Program, Storage, TapeEntry, Tensor } from "./recording.ts";
import { showShape } from "./shape.ts";

interface Write {
  readonly x: Tensor;
  readonly command: Command;
}

/** A value that was read, while what it was computed from is there no more. */
interface Outlived {
  readonly state: string;
  /** When the value was read: what was recorded later knows the new state. */
  readonly order: number;
}

/**
 * What was overwritten, so that a gradient rule which reads an operand of its operation again does not take what an update put there
 * meanwhile for it.
 */
export class Overwrites {
  readonly #writes = new Map<Storage, Write[]>();
  /** State that changed since a value of it was read, and what would be computed of it anew. */
  readonly #outlived = new Map<Storage, Outlived>();

  constructor(program: Program) {
    for (const command of program.commands) {
      for (const x of writtenBy(command)) {
        const known = this.#writes.get(x.storage);
        if (known) known.push({ x, command });
        else this.#writes.set(x.storage, [{ x, command }]);
      }
    }
    for (const { y } of program.tape) this.#noteRead(y.storage);
    if (this.#outlived.size > 0) for (const command of program.commands) this.#follow(command);
  }

  #noteRead(storage: Storage): void {
    const computed = storage.kind === "virtual" ? storage.materialized?.computed : undefined;
    for (const source of computed?.from ?? []) {
      if (computed && source.overwritten > computed.order)
        this.#outlived.set(source, { state: source.name, order: computed.order });
    }
  }

  #follow(command: Command): void {
    const outlived = readBy(command)
      .map(({ storage }) => this.#outlived.get(storage))
      .find((known) => known !== undefined && command.order < known.order);
    if (!outlived) return;
    for (const { storage } of writtenBy(command)) if (storage.kind === "virtual") this.#outlived.set(storage, outlived);
  }

  /**
   * @param dy - which the rule was given, and may have been written since
   * @param commands - what the rule of the entry recorded
   * @throws NoGradientError if one of them reads what was overwritten after the operation
   */
  check(entry: TapeEntry, dy: Tensor, commands: readonly Command[]): void {
    for (const x of commands.flatMap(readBy)) {
      if (x.base === dy.base) continue;
      const writes = this.#writes.get(x.storage)?.filter((w) => overlap(w.x, x)) ?? [];
      // What was recorded but not computed yet cannot be what the operation read: another gradient, say.
      const wasThere = x.storage.kind === "state" || writes.some(({ command }) => command.order < entry.order);
      const later = wasThere ? writes.find(({ command }) => command.order > entry.order) : undefined;
      if (later) throw stale(this.#operationOf(entry), nameOf(x), `${operationOf(later.command)} overwrote`);
      const outlived = this.#outlived.get(x.storage);
      if (outlived && entry.order < outlived.order)
        throw stale(this.#operationOf(entry), `the state ${outlived.state}`, "was overwritten");
    }
  }

  #operationOf(entry: TapeEntry): string {
    const made = this.#writes.get(entry.y.storage)?.findLast(({ command }) => command.order < entry.order);
    return made ? operationOf(made.command) : `an operation that gave ${showShape(entry.y.shape)}`;
  }
}

function stale(operation: string, what: string, overwritten: string): NoGradientError {
  return new NoGradientError(
    `gradients: the rule of ${operation} reads ${what}, which ${overwritten} after the operation; record the gradients before the update, or let the operation read a copy`,
  );
}

function nameOf({ storage, shape }: Tensor): string {
  return storage.kind === "state" ? `the state ${storage.name}` : `a tensor ${showShape(shape)}`;
}

/** What a command does, for errors. */
function operationOf(command: Command): string {
  return command.type === "assign" ? "assign" : (command.options.operation ?? command.kernel.name);
}
