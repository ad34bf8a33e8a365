import {
  accuracy,
  accuracyOnClasses,
  corruptionMean,
  corruptionSeverities,
  type FeatureMatrix,
  imageNetAClasses,
  imageNetCorruptions,
  imageNetRClasses,
} from "../../evaluation/index.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase, GoldenCheck } from "../fixture.ts";
import type { Json } from "../json.ts";

/** Accuracies over the classes of ImageNet-A and ImageNet-R, and the mean over ImageNet-C. */
export const robustnessCase: GoldenCheck = {
  run: checkRobustness,
  inputs: {
    tensors: /^(logits|imagenet_[ar]\/labels|imagenet_c\/accuracy)$/,
    keys: /^(corruptions|severities)$/,
    remarks: /^note$/,
  },
};

/** Of the published evaluation. */
const accuracyBound = 1e-6;

const published: Readonly<Record<string, readonly number[]>> = {
  imagenet_a: imageNetAClasses,
  imagenet_r: imageNetRClasses,
};

async function checkRobustness(golden: GoldenCase): Promise<void> {
  const { json } = golden;
  const [rows = 0, columns = 0] = golden.shape("logits");
  const logits = { rows, columns, data: await golden.floats("logits") };
  const subsets = json.get("subsets");
  for (const name of subsets.keys()) await checkSubset(golden, name, subsets.get(name), logits);

  json.expect({ corruptions: imageNetCorruptions, severities: corruptionSeverities });
  const table = await golden.floats("imagenet_c/accuracy");
  const found = corruptionMean(
    imageNetCorruptions.flatMap((corruption, row) =>
      corruptionSeverities.map((severity, column) => ({
        corruption,
        severity,
        accuracy: table[row * corruptionSeverities.length + column] ?? Number.NaN,
      })),
    ),
  );
  golden.addError("imagenet_c is complete", found.isComplete ? 0 : 1, goldenBounds.exact);
  golden.addScalar(json.get("overall_accuracy"), found.accuracy, accuracyBound);
  const means = json.get("mean_per_corruption");
  golden.add(
    means.path,
    found.perCorruption.map(({ accuracy }) => accuracy),
    means.numbers(),
    accuracyBound,
  );
}

async function checkSubset(golden: GoldenCase, name: string, stored: Json, logits: FeatureMatrix): Promise<void> {
  const classes = published[name] ?? [];
  const indices = stored.get("class_indices");
  golden.add(indices.path, classes, indices.numbers(), goldenBounds.exact);
  const labels = await golden.integers(`${name}/labels`);
  const found = accuracyOnClasses(logits, labels, classes);
  await golden.compare(`${name}/predictions`, found.predicted, goldenBounds.exact);
  golden.addScalar(stored.get("accuracy"), found.accuracy, accuracyBound);
  const all = accuracyOnClasses(logits, labels, [...Array(logits.columns).keys()]).predicted;
  const right = labels.map((label) => classes[label] ?? -1);
  golden.addScalar(stored.get("accuracy_if_all_1000_logits_were_used"), accuracy(all, right), accuracyBound);
}
