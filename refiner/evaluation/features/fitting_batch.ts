import { type Device, OverLimitError, type Program, recordProgram, type Tensor } from "../../../engine/index.ts";

/**
 * The wanted number of images, halved until no tensor of the recording is over the device's limits; at least one.
 *
 * @param record - records the work on that many images; nothing of it is allocated or run
 */
export function fittingBatch(
  device: Device,
  wanted: number,
  record: (program: Program, batch: number) => Record<string, Tensor>,
): number {
  for (let batch = wanted; batch > 1; batch = Math.ceil(batch / 2)) {
    try {
      recordProgram(device, (p) => record(p, batch), { name: "trial of a batch", inference: true }).destroy();
      return batch;
    } catch (error) {
      if (!(error instanceof OverLimitError)) throw error;
    }
  }
  return Math.min(wanted, 1);
}
