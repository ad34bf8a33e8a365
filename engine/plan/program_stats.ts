import { operandsOf } from "../core/command.ts";
import type { Command, Device } from "../core/recording.ts";
import { showShape } from "../core/shape.ts";
import type { StateStorage } from "../core/storage.ts";
import { stateOf } from "../core/tensor.ts";
import type { Plan } from "./planner.ts";
import { submitCuts } from "./submit_cuts.ts";

export interface ProgramStats {
  readonly dispatches: number;
  /** Floating-point operations of one run, as the operations state them. */
  readonly flops: number;
  /** Bytes that the kernels touch of the bound tensors, read and written once per dispatch. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Arena bytes of the plan, and the least that any plan could need. */
  readonly plannedPeakBytes: number;
  readonly lowerBoundBytes: number;
  readonly inputBytes: number;
  /** Persistent tensors that the program uses. */
  readonly stateBytes: number;
  readonly submits: number;
}

export function statsOf(plan: Plan, device: Device): ProgramStats {
  const commands = plan.commands.map(({ command }) => command);
  const traffic = commands.map(trafficOf);
  const states = new Set<StateStorage>();
  for (const command of commands) {
    for (const operand of operandsOf(command)) {
      const state = stateOf(operand);
      if (state) states.add(state);
    }
  }
  return {
    dispatches: commands.filter((command) => command.type === "dispatch").length,
    flops: sum(commands.map((command) => (command.type === "dispatch" ? (command.options.flops ?? 0) : 0))),
    bytesRead: sum(traffic.map(({ read }) => read)),
    bytesWritten: sum(traffic.map(({ written }) => written)),
    plannedPeakBytes: sum(plan.arenaBytes),
    lowerBoundBytes: plan.lowerBoundBytes,
    inputBytes: plan.inputBytes,
    stateBytes: sum([...states].map((state) => state.sizeBytes)),
    submits: submitCuts(plan.commands, device.isSoftware).length,
  };
}

export function printPlan(plan: Plan, stats: ProgramStats): string {
  const lines = plan.commands.map(({ command, inPlace }, index) => {
    const { read, written } = trafficOf(command);
    if (command.type === "assign")
      return `${pad(index)} copy to state ${showShape(command.target.shape)} ${megabytes(written)}`;
    const shapes = Object.entries(command.operands).map(([name, x]) => `${name}${showShape(x.shape)}`);
    const gflops = ((command.options.flops ?? 0) / 1e9).toFixed(3);
    return `${pad(index)} ${command.kernel.name}${inPlace ? " (in place)" : ""} ${shapes.join(" ")} groups ${command.workgroups.join("×")} ${gflops} GFLOP ${megabytes(read + written)}`;
  });
  const ratio = stats.lowerBoundBytes > 0 ? (stats.plannedPeakBytes / stats.lowerBoundBytes).toFixed(3) : "1";
  lines.push(
    `${stats.dispatches} dispatches, ${(stats.flops / 1e9).toFixed(3)} GFLOP, reads ${megabytes(stats.bytesRead)}, writes ${megabytes(stats.bytesWritten)}, ${stats.submits} submit(s)`,
    `arena ${megabytes(stats.plannedPeakBytes)} = ${ratio} × the liveness lower bound ${megabytes(stats.lowerBoundBytes)}; inputs ${megabytes(stats.inputBytes)}, state ${megabytes(stats.stateBytes)}`,
  );
  return lines.join("\n");
}

/** Bytes that a command reads and writes if it touches each operand once, or the part of it that the operation states. State that a kernel updates is read as well. */
export function trafficOf(command: Command): { read: number; written: number } {
  if (command.type === "assign") return { read: command.source.sizeBytes, written: command.target.sizeBytes };
  let read = 0;
  let written = 0;
  for (const { name, access } of command.kernel.bindings) {
    const operand = command.operands[name];
    const bytes = command.options.touchedBytes?.[name] ?? operand?.sizeBytes ?? 0;
    if (access === "read" || (access === "write" && operand && stateOf(operand))) read += bytes;
    if (access === "write") written += bytes;
  }
  return { read, written };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function pad(index: number): string {
  return String(index).padStart(4);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}
