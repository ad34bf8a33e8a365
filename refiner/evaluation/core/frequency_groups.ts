import { accuracyOf, type MeasuredShare, type TestPredictions } from "./test_predictions.ts";

/** Classes by the number of their training images (Liu et al., Large-scale long-tailed recognition in an open world, 2019). */
const groups = [
  { name: "many", text: "more than 100 training images", holds: (count: number) => count > 100 },
  { name: "medium", text: "20 to 100 training images", holds: (count: number) => count >= 20 && count <= 100 },
  { name: "few", text: "fewer than 20 training images", holds: (count: number) => count < 20 },
] as const;

/** Accuracy over the test images of some classes. */
export interface GroupAccuracy extends MeasuredShare {
  readonly name: "many" | "medium" | "few";
  /** Which classes these are, in words. */
  readonly text: string;
  readonly classes: number;
}

/**
 * Accuracy by how often a class occurs in training; groups without test images are left out.
 *
 * @param trainImages - per class
 */
export function frequencyGroups(predictions: TestPredictions, trainImages: readonly number[]): GroupAccuracy[] {
  const { labels, predicted } = predictions;
  return groups.flatMap(({ name, text, holds }): GroupAccuracy[] => {
    const isOf = (label: number): boolean => holds(trainImages[label] ?? 0);
    const rows = Array.from({ length: labels.length }, (_, i) => i).filter((i) => isOf(labels[i] ?? -1));
    if (rows.length === 0) return [];
    const chosen = { labels: rows.map((i) => labels[i] ?? -1), predicted: rows.map((i) => predicted[i] ?? -1) };
    return [{ name, text, classes: trainImages.filter((_, label) => isOf(label)).length, ...accuracyOf(chosen) }];
  });
}
