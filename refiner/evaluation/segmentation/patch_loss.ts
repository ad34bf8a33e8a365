import { add, crossEntropyPerRow, mul, type Program, reshape, sum, type Tensor } from "../../../engine/index.ts";
import type { LabelMap } from "../../data/masks/label_map.ts";
import { nearestSources } from "../../data/masks/nearest.ts";
import { EvaluationError } from "../core/errors.ts";

/** Patches of a batch, and what is learned of them. */
export interface PatchBatch {
  readonly images: number;
  /** Patches of an image. */
  readonly rows: number;
  readonly columns: number;
  readonly classes: number;
  /** Heads that share a feature. */
  readonly rates: number;
}

/**
 * Cross entropy of up-sampled logits against the labels of pixels, without up-sampling: the nearest pixels of a patch have its
 * logits, so that their losses add up to `n · logsumexp(z) - Σ n_c z_c` with n_c pixels of class c. With the patch's most frequent
 * class m that is `n · crossEntropy(z, m) + Σ z_c (n [c = m] - n_c)`, whose second sum is exactly 0 where all pixels agree.
 *
 * Inputs, as {@link patchTargets} gives them: `targets`, u32 `[patches · rates]`; `pixels`, `[patches, 1]`; `others`,
 * `[patches, 1, classes]`.
 *
 * @returns gives the loss of each row of logits `[patches · rates, classes]`; the mean over patches is the mean over labelled pixels
 */
export function patchLoss(
  program: Program,
  { images, rows, columns, classes, rates }: PatchBatch,
): (z: Tensor) => Tensor {
  const patches = images * rows * columns;
  const targets = program.input("targets", [patches * rates], "u32");
  const pixels = program.input("pixels", [patches, 1]);
  const others = program.input("others", [patches, 1, classes]);
  return (logits) => {
    const agreeing = mul(reshape(crossEntropyPerRow(logits, targets), [patches, rates]), pixels);
    const differing = sum(mul(reshape(logits, [patches, rates, classes]), others), { axes: [2] });
    return reshape(add(agreeing, differing), [patches * rates]);
  };
}

/** What {@link patchLoss} takes of a batch. */
export interface PatchTargets {
  readonly targets: Uint32Array;
  readonly pixels: Float32Array;
  readonly others: Float32Array;
}

/**
 * Counts the classes of each patch. Counts are scaled by patches / labelled pixels of the batch, so that the mean over patches is
 * the mean over labelled pixels. A batch without any labelled pixel has no loss and no gradient.
 *
 * @param labels - one map per image, all of one size
 * @throws EvaluationError for a label that is no class
 */
export function patchTargets(labels: readonly LabelMap[], batch: PatchBatch): PatchTargets {
  const { rows, columns, classes, rates } = batch;
  const patches = batch.images * rows * columns;
  const counts = new Float32Array(patches * classes);
  for (const [image, map] of labels.entries()) countPixels(counts, image, map, batch);
  const labelled = counts.reduce((total, count) => total + count, 0);
  const scale = labelled === 0 ? 0 : patches / labelled;
  const pixels = new Float32Array(patches);
  const others = new Float32Array(patches * classes);
  const targets = new Uint32Array(patches * rates);
  for (let patch = 0; patch < patches; patch++) {
    const own = counts.subarray(patch * classes, (patch + 1) * classes);
    const total = own.reduce((sum, count) => sum + count, 0);
    const most = own.reduce((best, count, c) => (count > (own[best] ?? 0) ? c : best), 0);
    pixels[patch] = scale * total;
    own.forEach((count, c) => {
      others[patch * classes + c] = scale * ((c === most ? total : 0) - count);
    });
    targets.fill(most, patch * rates, (patch + 1) * rates);
  }
  return { targets, pixels, others };
}

function countPixels(counts: Float32Array, image: number, map: LabelMap, { rows, columns, classes }: PatchBatch): void {
  const [down, across] = [nearestSources(map.height, rows), nearestSources(map.width, columns)];
  for (let y = 0; y < map.height; y++)
    for (let x = 0; x < map.width; x++) {
      const label = map.data[y * map.width + x] ?? -1;
      if (label < 0) continue;
      if (label >= classes)
        throw new EvaluationError(
          `segmentation: label ${label} is none of ${classes} classes; give 0 … ${classes - 1}`,
        );
      const patch = (image * rows + (down[y] ?? 0)) * columns + (across[x] ?? 0);
      const place = patch * classes + label;
      counts[place] = (counts[place] ?? 0) + 1;
    }
}
