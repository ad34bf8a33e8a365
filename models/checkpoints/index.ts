export { holdsClassifier, loadClassifier, saveClassifier } from "./classifier_file.ts";
export type { StoredConfig } from "./encoder_config.ts";
export { IncompleteWeightsError, UnknownModelError } from "./errors.ts";
export { loadEncoder } from "./load_encoder.ts";
export { loadMae, type MaeOptions, maeDecoderConfig } from "./load_mae.ts";
export { formatReport, type LoadReport, withDecoder } from "./load_report.ts";
export { completeConfig, type EncoderOptions, openEncoder, type StoredEncoder } from "./open_encoder.ts";
export { classifierKey, configKey, decoderHeadsKey } from "./own_config.ts";
export { storedDecoder } from "./stored_decoder.ts";
export {
  type EncoderContent,
  encoderContent,
  type NameStyle,
  nameStyles,
  saveEncoder,
  untoldOptions,
  type WeightDType,
  type WeightFormat,
  type WriteOptions,
  weightDTypes,
  weightFormats,
  writeEncoder,
} from "./write_encoder.ts";
export { saveMae } from "./write_mae.ts";
