import type { BufferRange, CanaryKeeper, Guard } from "../core/device_parts.ts";
import { showShape } from "../core/shape.ts";
import { alignUp, bindingAlignment, guardBytes } from "../core/storage.ts";
import { stateOf, type Tensor } from "../core/tensor.ts";
import type { Plan } from "../plan/planner.ts";

/** What is bound of a tensor in canary mode: its words and the canaries behind them, so that a kernel can reach those. */
export function withGuard(plan: Plan, x: Tensor, range: BufferRange): BufferRange {
  const end = range.offset + range.size;
  const place = x.storage.kind === "virtual" && !stateOf(x) ? plan.placements.get(x.storage) : undefined;
  if (place && "arena" in place) {
    const isWhole = x.sizeBytes === x.storage.sizeBytes; // a part has neighbours behind it
    return isWhole ? { ...range, size: alignUp(end, bindingAlignment) + guardBytes - range.offset } : range;
  }
  if (x.storage.kind === "virtual" && x.storage.inputName !== undefined) return range;
  return end + guardBytes === range.buffer.size ? { ...range, size: range.size + guardBytes } : range;
}

/** Fills the arenas with canaries and names those behind every tensor that the program writes. */
export function setGuards(
  canaries: CanaryKeeper,
  program: { readonly plan: Plan; locate(x: Tensor): BufferRange },
  arenas: readonly GPUBuffer[],
): Guard[] {
  for (const buffer of arenas) canaries.fill({ buffer, offset: 0, size: buffer.size });
  const known = new Map<GPUBuffer, Set<number>>();
  return program.plan.commands.flatMap(({ command }): Guard[] => {
    if (command.type === "assign") return [];
    return command.kernel.bindings.flatMap(({ name, access }) => {
      const x = command.operands[name];
      if (access !== "write" || !x) return [];
      const range = program.locate(x);
      const offset = range.offset + range.size;
      const size = withGuard(program.plan, x, range).size - range.size;
      const offsets = known.get(range.buffer) ?? new Set();
      known.set(range.buffer, offsets);
      if (size === 0 || offsets.has(offset)) return [];
      offsets.add(offset);
      return [{ buffer: range.buffer, offset, size, owner: `${command.kernel.name}: ${name} ${showShape(x.shape)}` }];
    });
  });
}
