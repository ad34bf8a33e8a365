export * from "./checkpoints/index.ts";
export {
  Classifier,
  type ClassifierDescription,
  type ClassifierForwardOptions,
  classifierParameters,
  trainedPositions,
} from "./classifier.ts";
export { initializeParameters, type StartOptions, startValues } from "./initial_parameters.ts";
export { type BlockOptions, type BranchKeep, transformerBlock, type Weights } from "./layers.ts";
export {
  type MaeDecoderConfig,
  type MaeForwardOptions,
  type MaeResult,
  MaskedAutoencoder,
  type MaskIndices,
  type MaskTensors,
  maeDecoderParameters,
  maskedLoss,
  maskFromNoise,
  type PixelNormalization,
} from "./mae.ts";
export { countParameters, type ParameterEntry, vitParameters } from "./parameters.ts";
export { type Pooling, type PoolingTable, poolingTable, poolTokens } from "./pooling.ts";
export { sincosPositions } from "./positions.ts";
export { type EncodedTokens, type ForwardOptions, segmentTokens, type TokenSegment, VisionTransformer } from "./vit.ts";
export {
  gridOf,
  type LayerScale,
  layerScales,
  type PositionAxes,
  type Precision,
  type VitConfig,
  type VitKind,
  type VitPreset,
  type VitSizes,
  vitConfig,
  vitPresets,
} from "./vit_config.ts";
