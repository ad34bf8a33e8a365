import type { Command, Program } from "./program.ts";
import type { Storage } from "./storage.ts";

/**
 * Places what `record` appends as early as its operands allow: each command right behind the last one that wrote a recorded
 * tensor that it touches. Sums of gradients into state then free each gradient at once instead of keeping all to the end.
 *
 * @param record - appends commands whose state nothing else in the program touches, since they move past other commands
 */
export function recordEarly(program: Program, record: () => void): void {
  const { commands } = program;
  const from = commands.length;
  record();
  const appended = commands.splice(from);
  const lastWrite = new Map<Storage, number>();
  commands.forEach((command, index) => {
    for (const storage of writtenBy(command)) lastWrite.set(storage, index);
  });
  const behind = new Map<number, Command[]>();
  for (const command of appended) {
    const at = Math.max(-1, ...touchedBy(command).map((storage) => lastWrite.get(storage) ?? -1));
    for (const storage of writtenBy(command)) lastWrite.set(storage, at);
    behind.set(at, [...(behind.get(at) ?? []), command]);
  }
  const ordered = [...(behind.get(-1) ?? []), ...commands.flatMap((command, i) => [command, ...(behind.get(i) ?? [])])];
  commands.splice(0, commands.length, ...ordered);
}

function touchedBy(command: Command): Storage[] {
  const operands = command.type === "assign" ? [command.source, command.target] : Object.values(command.operands);
  return operands.map(({ storage }) => storage);
}

function writtenBy(command: Command): Storage[] {
  if (command.type === "assign") return [command.target.storage];
  return command.kernel.bindings.flatMap(({ name, access }) => {
    const operand = command.operands[name];
    return access === "write" && operand ? [operand.storage] : [];
  });
}
