import { OptionError, RankError, ShapeError } from "../core/errors.ts";
import { showShape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

/** A run of images with equally many tokens within concatenated token rows. */
export interface AttentionSegment {
  /** Row of the first token of the first image. */
  readonly firstRow: number;
  /** Number of images. */
  readonly batch: number;
  /** Tokens of each image; they attend to each other only. */
  readonly tokens: number;
}

export interface AttentionOptions {
  readonly heads: number;
  /** Multiplies q·k; headDim ** -0.5 by default (arXiv 1706.03762, eq. 1). */
  readonly scale?: number;
  /** For `qkv` of two axes: which rows belong together. The segments cover all rows in their order. */
  readonly segments?: readonly AttentionSegment[];
}

/** What the kernels need to know of one call. */
export interface AttentionShape {
  readonly rows: number;
  readonly heads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly segments: readonly AttentionSegment[];
}

/** Largest head dimension: its sums stay in function memory. */
const maxHeadDim = 128;

/** The sizes of a call. @throws RankError, ShapeError, OptionError */
export function attentionShape(qkv: Tensor, { heads, scale, segments }: AttentionOptions): AttentionShape {
  const rank = segments ? 2 : 3;
  if (qkv.shape.length !== rank) {
    throw new RankError(
      `attention: qkv has shape ${showShape(qkv.shape)}, expected ${segments ? "[rows, 3·width] with segments" : "[batch, tokens, 3·width]"}; reshape it first`,
    );
  }
  const rows = qkv.size / (qkv.shape.at(-1) ?? 1);
  const width = (qkv.shape.at(-1) ?? 0) / 3;
  if (!Number.isInteger(width))
    throw new ShapeError(`attention: rows of ${3 * width} values are not q, k and v of one width; expected 3·width`);
  if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0) {
    throw new OptionError(
      `attention: width ${width} is not divisible by ${heads} heads; choose heads from ${headCounts(width)} or change the width`,
    );
  }
  const headDim = width / heads;
  if (headDim > maxHeadDim) {
    throw new OptionError(
      `attention: width ${width} with ${heads} heads gives a head dimension of ${headDim}, over ${maxHeadDim}; use more heads`,
    );
  }
  if (scale !== undefined && !Number.isFinite(scale))
    throw new OptionError(`attention: scale ${scale} is not finite; leave it out for headDim ** -0.5`);
  const [batch = 1, tokens = 1] = qkv.shape;
  const images = segments ?? [{ firstRow: 0, batch, tokens }];
  checkSegments(images, rows);
  return { rows, heads, headDim, scale: scale ?? headDim ** -0.5, segments: images };
}

function headCounts(width: number): string {
  const counts = Array.from({ length: Math.min(width, 32) }, (_, i) => i + 1);
  return counts.filter((heads) => width % heads === 0 && width / heads <= maxHeadDim).join(", ");
}

function checkSegments(segments: readonly AttentionSegment[], rows: number): void {
  let next = 0;
  for (const { firstRow, batch, tokens } of segments) {
    if (firstRow !== next || !(Number.isInteger(batch) && batch > 0) || !(Number.isInteger(tokens) && tokens > 0)) {
      throw new ShapeError(
        `attention: a segment of ${batch} images with ${tokens} tokens starts at row ${firstRow}, expected whole images from row ${next}; list the segments in order and without gaps`,
      );
    }
    next += batch * tokens;
  }
  if (next !== rows) {
    throw new ShapeError(
      `attention: the segments cover ${next} rows, but qkv has ${rows}; every row must belong to one segment`,
    );
  }
}
