import type { Device } from "../../../engine/index.ts";
import { EvaluationError } from "../core/errors.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { NeighbourBank } from "../neighbours/neighbour_bank.ts";

/**
 * How far two views of the same images agree on who is near whom: the mean share of an image's k nearest others (by cosine similarity)
 * in one view that are among its k nearest in the other. 1 if views change no neighbourhood, about k / (images - 1) by chance. Needs no
 * labels. Our own measure beside RankMe and LiDAR, which look at directions and not at neighbours.
 *
 * @param first - features of one view of each image
 * @param second - features of another view, in the same order
 * @throws EvaluationError if sizes differ, k is not a whole number of 1 … images - 1, or a feature is not finite
 */
export async function neighbourAgreement(
  device: Device,
  first: FeatureMatrix,
  second: FeatureMatrix,
  k = 10,
): Promise<number> {
  const { rows } = first;
  if (second.rows !== rows || second.columns !== first.columns) {
    throw new EvaluationError(
      `neighbour agreement: views of ${rows} × ${first.columns} and ${second.rows} × ${second.columns}; give the same images through the same block`,
    );
  }
  if (!Number.isInteger(k) || k < 1 || k >= rows)
    throw new EvaluationError(`neighbour agreement: k is ${k} for ${rows} images; choose 1 … ${rows - 1}`);
  const [of, ofOther] = [await nearestOthers(device, first, k), await nearestOthers(device, second, k)];
  let common = 0;
  of.forEach((own, row) => {
    const other = new Set(ofOther[row]);
    common += own.filter((neighbour) => other.has(neighbour)).length;
  });
  return common / (rows * k);
}

/** The k nearest rows of each row, without itself. */
async function nearestOthers(device: Device, x: FeatureMatrix, k: number): Promise<number[][]> {
  const bank = new NeighbourBank(device, x, k + 1);
  try {
    const { indices } = await bank.search(x);
    return Array.from({ length: x.rows }, (_, row) => {
      const found = [...indices.subarray(row * (k + 1), (row + 1) * (k + 1))];
      return found.filter((other) => other !== row).slice(0, k);
    });
  } finally {
    bank.destroy();
  }
}
