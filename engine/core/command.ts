import type { Command, Tensor } from "./recording.ts";

/** All tensors of a command. */
export function operandsOf(command: Command): Tensor[] {
  return command.type === "assign" ? [command.source, command.target] : Object.values(command.operands);
}

/** The tensors that a command reads. State that a kernel updates counts as written only. */
export function readBy(command: Command): Tensor[] {
  return command.type === "assign" ? [command.source] : boundFor(command, "read");
}

/** The tensors that a command writes. */
export function writtenBy(command: Command): Tensor[] {
  return command.type === "assign" ? [command.target] : boundFor(command, "write");
}

function boundFor(command: Exclude<Command, { type: "assign" }>, wanted: "read" | "write"): Tensor[] {
  return command.kernel.bindings.flatMap(({ name, access }) => {
    const operand = command.operands[name];
    return access === wanted && operand ? [operand] : [];
  });
}
