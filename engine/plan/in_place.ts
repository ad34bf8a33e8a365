import type { Command, Tensor, VirtualStorage } from "../core/recording.ts";
import type { Interval } from "./arena_layout.ts";
import type { PlannedCommand } from "./planned_command.ts";

/** Joins output and operand of an in-place dispatch where the operand dies there. Joined intervals live under their root. */
export function mergeInPlace(
  commands: readonly Command[],
  intervals: Map<VirtualStorage, Interval>,
  outputs: readonly Tensor[],
) {
  const rootOf = new Map<VirtualStorage, VirtualStorage>();
  const outputStorages = new Set(outputs.map((x) => x.storage));
  const planned = commands.map((command, index): PlannedCommand => {
    const option = command.type === "dispatch" ? command.options.inPlace : undefined;
    if (command.type !== "dispatch" || !option) return { command, inPlace: false };
    const output = command.operands[option.output];
    const operand = command.operands[option.operand];
    if (!output || !operand || output.storage.kind !== "virtual" || operand.storage.kind !== "virtual")
      return { command, inPlace: false };
    const a = rootStorage(rootOf, operand.storage);
    const source = intervals.get(a);
    const target = intervals.get(output.storage);
    const whole =
      operand.byteOffset === 0 && output.byteOffset === 0 && operand.storage.sizeBytes === output.storage.sizeBytes;
    const others = Object.entries(command.operands).some(
      ([name, x]) =>
        name !== option.operand &&
        name !== option.output &&
        x.storage.kind === "virtual" &&
        rootStorage(rootOf, x.storage) === a,
    );
    if (
      !source ||
      !target ||
      source === target ||
      !whole ||
      others ||
      source.last !== index ||
      target.first !== index ||
      outputStorages.has(operand.storage)
    ) {
      return { command, inPlace: false };
    }
    source.last = target.last;
    intervals.delete(output.storage);
    rootOf.set(output.storage, a);
    return { command, inPlace: true };
  });
  return { planned, rootOf };
}

/** The storage whose memory a joined one has. */
export function rootStorage(
  rootOf: ReadonlyMap<VirtualStorage, VirtualStorage>,
  storage: VirtualStorage,
): VirtualStorage {
  const parent = rootOf.get(storage);
  return parent === undefined ? storage : rootStorage(rootOf, parent);
}
