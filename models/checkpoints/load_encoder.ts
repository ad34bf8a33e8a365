import type { Checkpoint } from "../../engine/files/index.ts";
import type { Device } from "../../engine/index.ts";
import { VisionTransformer } from "../vit.ts";
import { positionsName } from "./expected_parameters.ts";
import type { LoadReport } from "./load_report.ts";
import { completeConfig, type EncoderOptions, openEncoder } from "./open_encoder.ts";

/** Bytes written between two waits for the device, which holds a copy of each upload until then. */
const bytesInFlight = 32 * 2 ** 20;

/** Writes tensors to a device one at a time, so that host memory holds the largest of them and a bounded queue. */
export class Uploader {
  #pending = 0;

  constructor(readonly device: Device) {}

  async write(target: Parameters<Device["write"]>[0], values: Float32Array): Promise<void> {
    if (this.#pending > 0 && this.#pending + values.byteLength > bytesInFlight) await this.#flush();
    this.device.write(target, values);
    this.#pending += values.byteLength;
    if (this.#pending >= bytesInFlight) await this.#flush();
  }

  async #flush(): Promise<void> {
    this.device.gpu.queue.submit([]);
    await this.device.idle();
    this.#pending = 0;
  }
}

/**
 * Loads the encoder of a checkpoint, whichever family of names it uses; tensor by tensor.
 *
 * @param file - what messages and the report call the file
 * @throws UnknownModelError, IncompleteWeightsError, OptionError, ShapeError; CheckpointError for a damaged file
 */
export async function loadEncoder(
  device: Device,
  checkpoint: Checkpoint,
  options: EncoderOptions = {},
  file = "checkpoint",
): Promise<{ model: VisionTransformer; report: LoadReport }> {
  const stored = await openEncoder(checkpoint, options, file);
  const config = completeConfig(stored.config, file);
  const model = new VisionTransformer(device, config);
  const uploader = new Uploader(device);
  try {
    for (const [name, parameter] of stored.parameters) {
      const target = name === positionsName ? model.positions : model.parameters.get(name);
      await uploader.write(target, await parameter.read());
    }
  } catch (error) {
    model.destroy();
    throw error;
  }
  return { model, report: stored.report };
}
