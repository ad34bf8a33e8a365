import type { PlannedCommand } from "./planned_command.ts";

const flopsPerSubmit = 2.5e11; // 500 ms on a GPU that sustains 0.5 TFLOP/s

/**
 * First commands of each submit: cut only where one submit could trip a GPU watchdog (> 500 ms).
 *
 * @param isSoftware - whether a CPU does the work: nothing watches it
 */
export function submitCuts(commands: readonly PlannedCommand[], isSoftware: boolean): number[] {
  if (isSoftware) return [0];
  const cuts = [0];
  let flops = 0;
  commands.forEach(({ command }, index) => {
    const own = command.type === "dispatch" ? (command.options.flops ?? 0) : 0;
    flops += own;
    if (flops > flopsPerSubmit && index > (cuts.at(-1) ?? 0)) {
      cuts.push(index);
      flops = own;
    }
  });
  return cuts;
}
