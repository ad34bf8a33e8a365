import { type Device, OverLimitError, trialAllocation } from "../../engine/index.ts";
import { formatBytes, type Output } from "../output/streams.ts";

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
