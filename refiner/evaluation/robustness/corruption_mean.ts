import { EvaluationError } from "../core/errors.ts";

/** The 19 corruptions of ImageNet-C, its four additional ones among them, in the order of MIM-Refiner's evaluation. */
export const imageNetCorruptions = [
  "defocus_blur",
  "glass_blur",
  "motion_blur",
  "zoom_blur",
  "contrast",
  "elastic_transform",
  "jpeg_compression",
  "pixelate",
  "gaussian_blur",
  "saturate",
  "spatter",
  "speckle_noise",
  "gaussian_noise",
  "shot_noise",
  "impulse_noise",
  "frost",
  "snow",
  "fog",
  "brightness",
] as const;

/** Severities of each corruption. */
export const corruptionSeverities = [1, 2, 3, 4, 5] as const;

/** Accuracy under one corruption at one severity. */
export interface CorruptionAccuracy {
  readonly corruption: string;
  readonly severity: number;
  /** 0 … 1 */
  readonly accuracy: number;
}

export interface CorruptionMean {
  /** Plain mean of all accuracies, not the mCE, which divides by the errors of a reference model. */
  readonly accuracy: number;
  /** Mean over the severities of each corruption, in the order of their first occurrence. */
  readonly perCorruption: readonly { readonly corruption: string; readonly accuracy: number }[];
  /** Whether all 19 corruptions are there at all five severities, and nothing else: only then the figure is ImageNet-C's. */
  readonly isComplete: boolean;
}

/**
 * Mean accuracy under corruptions (Hendrycks and Dietterich, arXiv 1903.12261; the mean as MIM-Refiner reports it).
 *
 * @throws EvaluationError for no entry, one that is not finite, or a corruption with a severity given twice
 */
export function corruptionMean(entries: readonly CorruptionAccuracy[]): CorruptionMean {
  if (entries.length === 0)
    throw new EvaluationError("corruptions: there are no accuracies; evaluate at least one folder");
  const byCorruption = new Map<string, number[]>();
  const seen = new Set<string>();
  for (const { corruption, severity, accuracy } of entries) {
    const key = `${corruption} ${severity}`;
    if (seen.has(key) || !Number.isFinite(accuracy)) {
      const fault = seen.has(key) ? "stands there twice" : `has the accuracy ${accuracy}`;
      throw new EvaluationError(`corruptions: ${corruption} of severity ${severity} ${fault}; give one number each`);
    }
    seen.add(key);
    byCorruption.set(corruption, [...(byCorruption.get(corruption) ?? []), accuracy]);
  }
  const all = imageNetCorruptions.flatMap((name) => corruptionSeverities.map((severity) => `${name} ${severity}`));
  return {
    accuracy: mean(entries.map(({ accuracy }) => accuracy)),
    perCorruption: [...byCorruption].map(([corruption, values]) => ({ corruption, accuracy: mean(values) })),
    isComplete: seen.size === all.length && all.every((key) => seen.has(key)),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
