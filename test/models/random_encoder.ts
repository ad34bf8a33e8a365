import type { Device } from "../../engine/index.ts";
import { initializeParameters, VisionTransformer, type VitConfig, vitParameters } from "../../models/index.ts";

/** An encoder with published start values. */
export function randomEncoder(device: Device, config: VitConfig, seed = 1): VisionTransformer {
  const model = new VisionTransformer(device, config);
  initializeParameters(model.parameters, vitParameters(config), seed);
  if (config.width % 4 === 0) model.writeSincosPositions();
  return model;
}
