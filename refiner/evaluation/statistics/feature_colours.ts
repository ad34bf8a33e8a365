import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";

const clippedShare = 0.01; // at either end, so that single outliers do not take the contrast

/**
 * Colours for three scores per patch: each score becomes one of red, green and blue, stretched over 0 … 255 between
 * its 1st and 99th percentile. Give all patches that are to be compared at once.
 *
 * @param scores - `[patches, 3]`
 * @returns `[patches, 3]`, RGB
 * @throws EvaluationError unless there are three scores, or if one is not finite
 */
export function colourMap(scores: FeatureMatrix): Uint8Array {
  const { rows, columns, data } = scores;
  if (columns !== 3)
    throw new EvaluationError(`colourMap: ${columns} scores per patch; give 3, for red, green and blue`);
  checkMatrix("colourMap", scores, "scores");
  const colours = new Uint8Array(rows * 3);
  for (let channel = 0; channel < 3; channel++) {
    const sorted = Float64Array.from({ length: rows }, (_, row) => data[row * 3 + channel] ?? 0).sort();
    const clipped = Math.floor(clippedShare * (rows - 1));
    const low = sorted[clipped] ?? 0;
    const range = (sorted[rows - 1 - clipped] ?? 0) - low;
    for (let row = 0; row < rows; row++) {
      const share = range > 0 ? ((data[row * 3 + channel] ?? 0) - low) / range : 0.5;
      colours[row * 3 + channel] = Math.round(255 * Math.min(Math.max(share, 0), 1));
    }
  }
  return colours;
}
