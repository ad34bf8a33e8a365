import type { Device } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import { clusterAgreement } from "../clustering/cluster_scores.ts";
import { type KMeansOptions, kMeans } from "../clustering/kmeans.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import type { BlockFeatures } from "../features/encode_features.ts";
import { featureStatistics, standardise, unitRows } from "../statistics/standardise.ts";
import { encodingOfChanges, type FeatureChoice, featureChanges, featuresOf } from "./feature_choices.ts";
import { type Sensitivity, type SensitivityVariant, sensitivityOf } from "./sensitivity.ts";

export interface ClusterSensitivityOptions
  extends Pick<KMeansOptions, "clusters" | "seed" | "restarts" | "maxIterations" | "signal"> {
  readonly unitLength: boolean;
  /** After each clustering. */
  readonly onRun?: (runs: number, total: number) => void;
}

type Scaling = "unit length" | "as it is" | "standardised" | "centred, unit length";

/**
 * Accuracy of k-means under the best matching with one setting changed at a time: last norm, pooling, blocks and scaling. Nothing is encoded
 * again; the base has the same number of starts as each variant, so that they are compared alike.
 *
 * @param encoded - as `encodingOfChanges` says
 * @throws EvaluationError as `kMeans` and `clusterAgreement`
 */
export async function clusterSensitivity(
  device: Device,
  vit: VitConfig,
  encoded: BlockFeatures,
  base: FeatureChoice,
  { unitLength, onRun, ...options }: ClusterSensitivityOptions,
): Promise<Sensitivity> {
  const { pooling } = encodingOfChanges(vit, base);
  const own: Scaling = unitLength ? "unit length" : "as it is";
  const scalings = (["unit length", "as it is", "standardised", "centred, unit length"] as const).filter(
    (scaling) => scaling !== own,
  );
  const changes = [
    ...scalings.map((scaling) => ({ setting: "scaling", value: scaling, choice: base, scaling })),
    ...featureChanges(vit, base).map((change) => ({ ...change, scaling: own })),
  ];
  const score = async (choice: FeatureChoice, scaling: Scaling): Promise<number> => {
    const found = await kMeans(device, scaled(featuresOf(encoded, choice, pooling), scaling), options);
    return clusterAgreement(found.assignment, encoded.labels).accuracy;
  };
  const first = await score(base, own);
  onRun?.(1, changes.length + 1);
  const variants: SensitivityVariant[] = [];
  for (const { setting, value, choice, scaling } of changes) {
    variants.push({ setting, value, score: await score(choice, scaling) });
    onRun?.(variants.length + 1, changes.length + 1);
  }
  return sensitivityOf("accuracy", first, variants);
}

function scaled(x: FeatureMatrix, scaling: Scaling): FeatureMatrix {
  if (scaling === "as it is") return x;
  if (scaling === "unit length") return unitRows(x);
  const statistics = featureStatistics(x);
  if (scaling === "standardised") return standardise(x, statistics);
  return unitRows(standardise(x, { ...statistics, deviation: statistics.deviation.map(() => 1) }, 0));
}
