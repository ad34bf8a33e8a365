import type { Device } from "../../../engine/index.ts";
import {
  countParameters,
  type MaeDecoderConfig,
  MaskedAutoencoder,
  maeDecoderParameters,
  VisionTransformer,
  type VitConfig,
  vitParameters,
} from "../../../models/index.ts";
import { plannedBytes } from "../plan_limits.ts";
import { decodedSide, MaeMethod } from "./mae_method.ts";
import type { PretrainConfig } from "./pretrain_config.ts";

/** What a pre-training is planned for. */
export interface PretrainPlanData {
  readonly encoder: VitConfig;
  readonly decoder: MaeDecoderConfig;
  /** Number of training images. */
  readonly images: number;
}

/** What a pre-training would take. */
export interface PretrainPlan {
  readonly encoderParameters: number;
  readonly decoderParameters: number;
  /** Device memory in bytes, by kind. */
  readonly memory: {
    /** Encoder and decoder, with their positions. */
    readonly weights: number;
    /** With the partial sums of a reproducible run. */
    readonly gradients: number;
    /** Both moments of AdamW. */
    readonly moments: number;
    readonly activations: number;
    readonly inputs: number;
    readonly total: number;
  };
  /** Floating-point operations of one update. */
  readonly flopsPerUpdate: number;
  readonly updates: number;
}

/**
 * Plans a pre-training without allocating what it plans.
 *
 * @throws OverLimitError if a tensor is over the limits of the device, OptionError
 */
export function planPretraining(device: Device, config: PretrainConfig, data: PretrainPlanData): PretrainPlan {
  const encoder = new VisionTransformer(device, data.encoder);
  const model = new MaskedAutoencoder(encoder, data.decoder);
  const side = decodedSide(config);
  const imageBytes = 2 * side * side * data.encoder.channels;
  const method = new MaeMethod(model, config, { images: data.images, imageBytes, source: "random weights" });
  const { plannedPeakBytes, inputBytes, flops, partialSumBytes } = method.plan;
  const trained = encoder.parameters.sizeBytes + model.decoderParameters.sizeBytes;
  const parts = {
    weights: trained + encoder.positions.sizeBytes + model.decoderPositions.sizeBytes,
    gradients: trained + partialSumBytes,
    moments: 2 * trained,
    activations: plannedPeakBytes,
    inputs: inputBytes,
  };
  const plan = {
    encoderParameters: countParameters(vitParameters(data.encoder)),
    decoderParameters: countParameters(maeDecoderParameters(data.encoder, data.decoder)),
    memory: { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) },
    flopsPerUpdate: flops,
    updates: method.stages[0]?.updates ?? 0,
  };
  method.destroy();
  return plan;
}

/** The largest batch, halved from that of the settings, whose plan fits into some memory. Another batch trains otherwise. */
export function fittingBatch(
  device: Device,
  config: PretrainConfig,
  data: PretrainPlanData,
  memoryBytes: number,
): number | undefined {
  for (let batch = Math.floor(config.batch / 2); batch >= 1; batch = Math.floor(batch / 2))
    if (plannedBytes(() => planPretraining(device, { ...config, batch }, data)) <= memoryBytes) return batch;
  return undefined;
}
