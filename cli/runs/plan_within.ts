import { type Device, OverLimitError, trialAllocation } from "../../engine/index.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { UsageError } from "../program/usage_error.ts";

/**
 * A memory is given for a plan to fit into.
 *
 * @param others - options beside `--dry-run` by which the command plans, in words
 * @throws UsageError where nothing is planned
 */
export function checkMemory(
  command: string,
  { memory, isPlanned }: { readonly memory: number | undefined; readonly isPlanned: boolean },
  others = "",
): void {
  if (memory === undefined || isPlanned) return;
  throw new UsageError(
    `${command}: --memory is what a plan is to fit into, and nothing is planned; give --dry-run${others}, or leave it out`,
  );
}

/** The plan of a training, or what of it is over the limits of the device. */
export function planWithin<Plan>(plan: () => Plan): Plan | string {
  try {
    return plan();
  } catch (error) {
    if (error instanceof OverLimitError) return `over the limits of the device: ${error.message}`;
    throw error;
  }
}

/**
 * Whether a plan fits, which it says.
 *
 * @param memoryBytes - memory to fit into; undefined: as much as a trial allocation on the device gets
 * @returns `room`: bytes that there are
 */
export async function fitting(
  total: number,
  { device, memoryBytes }: { readonly device: Device; readonly memoryBytes: number | undefined },
  output: Output,
): Promise<{ readonly fits: boolean; readonly room: number }> {
  const room = memoryBytes ?? (await trialAllocation(device, total));
  const fits = total <= room;
  const source =
    memoryBytes === undefined ? ", by a trial allocation; WebGPU tells no memory size: give --memory to be sure" : "";
  output.line(`${fits ? "fits" : "does not fit"} into ${formatBytes(room)}${source}`);
  return { fits, room };
}
