import type { Device } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import type { BlockFeatures } from "../features/encode_features.ts";
import { type LowShotOptions, type LowShotSubset, lowShotOfSubsets, lowShotPenalty } from "../lowshot/low_shot.ts";
import { encodingOfChanges, type FeatureChoice, featureChanges, featuresOf } from "./feature_choices.ts";
import { type Sensitivity, type SensitivityVariant, sensitivityOf } from "./sensitivity.ts";

export interface LowShotSensitivityOptions extends LowShotOptions {
  /** After each regression. */
  readonly onRun?: (runs: number, total: number) => void;
}

/** Factors on the penalty. */
const penaltyFactors = [0.1, 10];

/**
 * Low-shot accuracy of one subset with one setting changed at a time: last norm, pooling, blocks, centring, scaling and penalty. Nothing
 * is encoded again; each variant is one regression.
 *
 * @param train - encoded as `encodingOfChanges` says
 * @param test - in the same way
 * @param subset - the draw that all variants are fitted to
 * @throws EvaluationError as `lowShot`
 */
export async function lowShotSensitivity(
  device: Device,
  vit: VitConfig,
  { train, test }: { readonly train: BlockFeatures; readonly test: BlockFeatures },
  base: FeatureChoice,
  subset: LowShotSubset,
  { onRun, ...options }: LowShotSensitivityOptions = {},
): Promise<Sensitivity> {
  const { pooling } = encodingOfChanges(vit, base);
  const { penalty = lowShotPenalty, centre = true, unitLength = true } = options;
  const changes = [
    ...featureChanges(vit, base).map((change) => ({ ...change, options })),
    {
      setting: "centring",
      value: centre ? "without" : "of each vector",
      choice: base,
      options: { ...options, centre: !centre },
    },
    {
      setting: "scaling",
      value: unitLength ? "lengths kept" : "unit length",
      choice: base,
      options: { ...options, unitLength: !unitLength },
    },
    ...penaltyFactors.map((factor) => ({
      setting: "penalty",
      value: `× ${factor}`,
      choice: base,
      options: { ...options, penalty: factor * penalty },
    })),
  ];
  const score = async (choice: FeatureChoice, used: LowShotOptions): Promise<number> => {
    const side = (encoded: BlockFeatures) => ({
      features: featuresOf(encoded, choice, pooling),
      labels: encoded.labels,
    });
    const { runs } = await lowShotOfSubsets(device, side(train), side(test), [subset], used);
    return runs[0]?.accuracy ?? Number.NaN;
  };
  const first = await score(base, options);
  onRun?.(1, changes.length + 1);
  const variants: SensitivityVariant[] = [];
  for (const { setting, value, choice, options: used } of changes) {
    variants.push({ setting, value, score: await score(choice, used) });
    onRun?.(variants.length + 1, changes.length + 1);
  }
  return sensitivityOf(`accuracy, ${subset.shots} per class, split ${subset.split}`, first, variants);
}
