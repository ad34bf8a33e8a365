import type { VitConfig } from "../../../models/index.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import type { BlockFeatures } from "../features/encode_features.ts";
import type { FeatureBlock } from "../features/feature_blocks.ts";
import type { FeaturePooling } from "../features/feature_pooling.ts";

/** What features of images are: outputs of blocks side by side, pooled. */
export interface FeatureChoice {
  /** In the order in which they stand in a row. */
  readonly blocks: readonly FeatureBlock[];
  readonly pooling: Exclude<FeaturePooling, "patches">;
}

/** A choice that differs from the given one in one thing. */
export interface FeatureChange {
  readonly setting: "last norm" | "pooling" | "blocks";
  /** Such as `cls+avg`. */
  readonly value: string;
  readonly choice: FeatureChoice;
}

/** Blocks that evaluations put side by side, where an encoder has them. */
const lastBlocks = 4;

type Sized = Pick<VitConfig, "blocks" | "classTokens" | "kind">;

/**
 * The choices that evaluations of encoders differ in, one thing changed at a time: with or without the last norm, the pooling, the last
 * block or the last four. Without the last two where another block than the last is meant.
 */
export function featureChanges(vit: Sized, base: FeatureChoice): FeatureChange[] {
  const [block, ...more] = base.blocks;
  const isLast = more.length === 0 && (block === "last" || block === vit.blocks - 1);
  return [
    // In post-norm form both are the same.
    ...(isLast && vit.kind === "prenorm" ? [normChange(vit, base)] : []),
    ...poolingChanges(vit, base),
    ...(isLast && vit.blocks > 1 ? [blocksChange(vit, base)] : []),
  ];
}

function normChange({ blocks }: Sized, base: FeatureChoice): FeatureChange {
  const isNormed = base.blocks[0] === "last";
  const other: FeatureBlock = isNormed ? blocks - 1 : "last";
  return { setting: "last norm", value: isNormed ? "without" : "with", choice: { ...base, blocks: [other] } };
}

function poolingChanges({ classTokens }: Sized, base: FeatureChoice): FeatureChange[] {
  if (classTokens === 0) return [];
  return (["cls", "avg", "cls+avg"] as const)
    .filter((pooling) => pooling !== base.pooling)
    .map((pooling) => ({ setting: "pooling", value: pooling, choice: { ...base, pooling } }));
}

function blocksChange({ blocks }: Sized, base: FeatureChoice): FeatureChange {
  const count = Math.min(lastBlocks, blocks);
  const last = Array.from({ length: count }, (_, i) => blocks - count + i);
  return { setting: "blocks", value: `last ${count}, raw`, choice: { ...base, blocks: last } };
}

/** What to encode once for a choice and all its changes; see {@link featuresOf}. */
export function encodingOfChanges(
  vit: Sized,
  base: FeatureChoice,
): { readonly blocks: readonly FeatureBlock[]; readonly pooling: "cls+avg" | "avg" } {
  const choices = [base, ...featureChanges(vit, base).map(({ choice }) => choice)];
  return {
    blocks: [...new Set(choices.flatMap(({ blocks }) => blocks))],
    pooling: vit.classTokens > 0 ? "cls+avg" : "avg",
  };
}

/**
 * The features of a choice out of those that were encoded as `encodingOfChanges` says: class tokens of all blocks first, then the means
 * over their patches, as the published linear probe joins them.
 *
 * @param pooling - of what was encoded
 * @throws EvaluationError for a block or pooling that was not encoded, or a value that is not finite
 */
export function featuresOf(
  encoded: Pick<BlockFeatures, "blocks" | "features">,
  { blocks, pooling: wanted }: FeatureChoice,
  pooling: "cls+avg" | "avg",
): FeatureMatrix {
  const parts = blocks.map((block) => encoded.features[encoded.blocks.indexOf(block)]);
  const [first] = parts;
  if (!first || parts.includes(undefined) || (pooling === "avg" && wanted !== "avg"))
    throw new EvaluationError(
      `features: ${wanted} of ${blocks.join(", ")} was not encoded; encode what encodingOfChanges names`,
    );
  for (const part of parts) if (part) checkMatrix("features", part);
  const width = pooling === "cls+avg" ? first.columns / 2 : first.columns;
  const offsets = offsetsOf(wanted, pooling, width);
  const columns = offsets.length * blocks.length * width;
  const data = new Float32Array(first.rows * columns);
  for (let row = 0; row < first.rows; row++) {
    let at = row * columns;
    for (const offset of offsets) {
      for (const part of parts) {
        const from = row * first.columns + offset;
        data.set(part?.data.subarray(from, from + width) ?? [], at);
        at += width;
      }
    }
  }
  return { rows: first.rows, columns, data };
}

/** Where the wanted parts of a row of one block begin. */
function offsetsOf(wanted: FeatureChoice["pooling"], pooling: "cls+avg" | "avg", width: number): number[] {
  if (pooling === "avg" || wanted === "cls") return [0];
  return wanted === "avg" ? [width] : [0, width];
}
