export {
  adjustedMutualInformation,
  adjustedRandIndex,
  completeness,
  entropy,
  homogeneity,
  mutualInformation,
  normalisedMutualInformation,
} from "./agreement.ts";
export { type ReconstructionOptions, reconstructionOfBlocks } from "./block_reconstruction.ts";
export { colourMap } from "./colour_map.ts";
export { type Contingency, contingency } from "./contingency.ts";
export { type BlockFeatures, type EncodeOptions, encodeFeatures } from "./encode_features.ts";
export { EvaluationError } from "./errors.ts";
export { EvaluationInputs, type EvaluationViewOptions } from "./evaluation_inputs.ts";
export type { FeatureMatrix } from "./feature_matrix.ts";
export { recommendedBlocks } from "./head_placement.ts";
export { type KMeans, type KMeansOptions, kMeans, nearestCentroids } from "./kmeans.ts";
export { accuracy, type VoteOptions, voteOfNeighbours } from "./knn.ts";
export { type KnnOptions, knnAccuracy, knnPredictions, type LabelledFeatures } from "./knn_device.ts";
export { type BlockAccuracies, type KnnOfBlocksOptions, knnOfBlocks } from "./knn_of_blocks.ts";
export {
  crossEntropy,
  fitLogisticRegression,
  type LogisticRegression,
  type LogisticRegressionOptions,
  logProbabilities,
  mostProbable,
} from "./logistic_regression.ts";
export { matchChannels } from "./match_channels.ts";
export { matchingAccuracy } from "./matching.ts";
export { NeighbourBank, type Neighbours } from "./neighbour_bank.ts";
export { componentScores, type PrincipalComponents, principalComponents } from "./principal_components.ts";
export { calinskiHarabasz, daviesBouldin, silhouette, silhouetteSamples } from "./separation.ts";
export { type FeatureStatistics, featureStatistics, standardise, unitRows } from "./standardise.ts";
