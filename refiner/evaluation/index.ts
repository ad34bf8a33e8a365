export { type ReconstructionOptions, reconstructionOfBlocks } from "./block_reconstruction.ts";
export {
  type ClassifierPredictionOptions,
  type ClassifierPredictions,
  classifierPredictions,
} from "./classification/classifier_predictions.ts";
export {
  type ClassifyOptions,
  type ClassPrediction,
  type ClassScore,
  classifierAccuracy,
  classifyImages,
} from "./classification/classify_images.ts";
export { type ClusterCurvePoint, clusterCurve } from "./clustering/cluster_curve.ts";
export {
  type ClusterAgreement,
  clusterAgreement,
  type GroupSeparation,
  groupSeparation,
} from "./clustering/cluster_scores.ts";
export {
  type KMeans,
  type KMeansMemory,
  type KMeansOptions,
  type KMeansRun,
  KMeansSearch,
  kMeans,
} from "./clustering/kmeans.ts";
export { nearestMembers } from "./clustering/nearest_members.ts";
export { type DeviceSilhouetteOptions, silhouetteSamplesOnDevice } from "./clustering/silhouette_device.ts";
export { EvaluationError } from "./core/errors.ts";
export type { FeatureMatrix } from "./core/feature_matrix.ts";
export { frequencyGroups, type GroupAccuracy } from "./core/frequency_groups.ts";
export { type LabelledImages, labelledImages } from "./core/labelled_images.ts";
export { type StratifiedSplit, stratifiedSplit } from "./core/stratified_split.ts";
export {
  accuracyOf,
  confusionTable,
  type MeasuredShare,
  meanShare,
  pairedDifference,
  pairedShares,
  rightShares,
  type TestPredictions,
} from "./core/test_predictions.ts";
export { type BlockFeatures, collectFeatures, type EncodeOptions, encodeFeatures } from "./features/encode_features.ts";
export { EvaluationInputs, type EvaluationViewOptions } from "./features/evaluation_inputs.ts";
export type { FeatureBlock } from "./features/feature_blocks.ts";
export {
  FeatureExtractor,
  type FeatureMemory,
  type FeatureOptions,
  type FeatureRows,
} from "./features/feature_extractor.ts";
export { defaultPooling, type FeaturePooling } from "./features/feature_pooling.ts";
export { NonFiniteFeaturesError } from "./features/finite_rows.ts";
export { matchChannels } from "./features/match_channels.ts";
export { type FeatureBatch, type FeatureReadOptions, streamFeatures } from "./features/stream_features.ts";
export { recommendedBlocks } from "./head_placement.ts";
export { lidar, rankMe } from "./label_free/effective_rank.ts";
export { type LabelFreeOptions, type LabelFreeScores, labelFreeScores } from "./label_free/label_free_scores.ts";
export { neighbourAgreement } from "./label_free/neighbour_agreement.ts";
export { centredUnitRows } from "./lowshot/centred_unit_rows.ts";
export {
  type FewShotCandidates,
  type FewShotSubset,
  fewShotPlaces,
  fewShotSubset,
  type HoldoutSize,
  holdoutPlaces,
  holdoutSplit,
} from "./lowshot/few_shot_subsets.ts";
export {
  fitLogisticRegression,
  type LogisticRegression,
  type LogisticRegressionOptions,
} from "./lowshot/fit_logistic_regression.ts";
export { linearPredictions } from "./lowshot/linear_predictions.ts";
export {
  type LowShotOptions,
  type LowShotResult,
  type LowShotRun,
  type LowShotSubset,
  type LowShotSummary,
  lowShot,
  lowShotOfSubsets,
  lowShotPenalty,
  lowShotSummary,
} from "./lowshot/low_shot.ts";
export { MersenneTwister } from "./lowshot/mersenne_twister.ts";
export { type NamedImages, rowsOfList } from "./lowshot/subset_list.ts";
export { type AttentionMap, type AttentionMapOptions, attentionMaps } from "./maps/attention_maps.ts";
export { enlargedMap, greyLevels, type PictureSize } from "./maps/map_pictures.ts";
export { type PrincipalMapOptions, principalMaps } from "./maps/principal_maps.ts";
export { accuracy, type VoteOptions, voteOfNeighbours } from "./neighbours/knn.ts";
export { type KnnOptions, knnAccuracy, knnPredictions, type LabelledFeatures } from "./neighbours/knn_device.ts";
export {
  type BlockAccuracies,
  type EncodedSides,
  encodeSides,
  type KnnOfBlocksOptions,
  knnOfBlocks,
  knnOfFeatures,
} from "./neighbours/knn_of_blocks.ts";
export { NeighbourBank, type Neighbours } from "./neighbours/neighbour_bank.ts";
export {
  type LinearProbeOptions,
  linearProbe,
} from "./probes/linear_probe.ts";
export { type ProbeEvent, probeRateAt } from "./probes/linear_probe_method.ts";
export {
  defaultProbePreset,
  type LinearProbeConfig,
  linearProbeSchema,
  type ProbePreset,
  probePreset,
  probePresets,
} from "./probes/probe_config.ts";
export { type ProbeFeature, type ProbeGrid, type ProbeHead, type ProbeSource, probeGrid } from "./probes/probe_grid.ts";
export type { LinearProbeResult, ProbeResult } from "./probes/probe_outcome.ts";
export type { ProbeScores } from "./probes/probe_scores.ts";
export { accuracyOnClasses, type SubsetAccuracy } from "./robustness/class_subsets.ts";
export {
  type CorruptionAccuracy,
  type CorruptionMean,
  corruptionMean,
  corruptionSeverities,
  imageNetCorruptions,
} from "./robustness/corruption_mean.ts";
export { imageNetAClasses, imageNetRClasses } from "./robustness/imagenet_subsets.ts";
export type { CroppedPixels, Cropper, CropRequest } from "./segmentation/cropped_pixels.ts";
export { type IntersectionScores, intersectionScores, type PixelConfusion } from "./segmentation/intersection.ts";
export {
  defaultSegmentationPreset,
  type SegmentationConfig,
  type SegmentationPreset,
  segmentationPreset,
  segmentationPresets,
  segmentationSchema,
} from "./segmentation/segmentation_config.ts";
export { segmentationBlocks, segmentationGrid } from "./segmentation/segmentation_grid.ts";
export type { SegmentationData, SegmentationEvent } from "./segmentation/segmentation_method.ts";
export type { SegmentationHeadResult, SegmentationResult } from "./segmentation/segmentation_outcome.ts";
export { type SegmentationOptions, segmentationProbe } from "./segmentation/segmentation_probe.ts";
export type { SegmentationScores } from "./segmentation/segmentation_scores.ts";
export type { SegmentedImage } from "./segmentation/window_test.ts";
export { type ClusterSensitivityOptions, clusterSensitivity } from "./sensitivity/cluster_sensitivity.ts";
export {
  encodingOfChanges,
  type FeatureChange,
  type FeatureChoice,
  featureChanges,
  featuresOf,
} from "./sensitivity/feature_choices.ts";
export {
  type KnnSensitivityBase,
  type KnnSensitivityOptions,
  knnSensitivity,
} from "./sensitivity/knn_sensitivity.ts";
export { type LowShotSensitivityOptions, lowShotSensitivity } from "./sensitivity/low_shot_sensitivity.ts";
export { probeSensitivity } from "./sensitivity/probe_sensitivity.ts";
export type { Sensitivity, SensitivityVariant } from "./sensitivity/sensitivity.ts";
export {
  adjustedMutualInformation,
  adjustedRandIndex,
  completeness,
  type EntropyMean,
  entropy,
  expectedMutualInformation,
  homogeneity,
  mutualInformation,
  normalisedMutualInformation,
  purity,
} from "./statistics/agreement.ts";
export { type Contingency, contingency } from "./statistics/contingency.ts";
export { colourMap } from "./statistics/feature_colours.ts";
export { nearestCentroids } from "./statistics/groups.ts";
export {
  type LinearClassifier,
  logProbabilities,
  mostProbable,
  negativeLogLikelihood,
} from "./statistics/logistic_regression.ts";
export { matchingAccuracy } from "./statistics/matching.ts";
export { componentScores, type PrincipalComponents, principalComponents } from "./statistics/principal_components.ts";
export { calinskiHarabasz, daviesBouldin, silhouette, silhouetteSamples } from "./statistics/separation.ts";
export { type FeatureStatistics, featureStatistics, standardise, unitRows } from "./statistics/standardise.ts";
