import type { Region } from "../../data/masks/label_map.ts";
import { nearestSources } from "../../data/masks/nearest.ts";

/** How large images are looked at: windows of a size, some pixels apart, each with a logit per patch. */
export interface WindowSize {
  readonly heightPixels: number;
  readonly widthPixels: number;
  readonly strideRows: number;
  readonly strideColumns: number;
  /** Patches of a window. */
  readonly rows: number;
  readonly columns: number;
}

/** A run of pixels along one axis that see the same patches of the same windows. */
interface Run {
  readonly from: number;
  readonly to: number;
  /** Windows along the axis that cover it, with the patch that it lies in. */
  readonly seen: readonly { readonly window: number; readonly patch: number }[];
}

/** Logits of the windows of one image: `values[((window · patches + patch) · heads + head) · classes + class]`. */
export interface WindowLogits {
  readonly values: ArrayLike<number>;
  /** Heads that stand side by side, and which one is meant. */
  readonly heads: number;
  readonly head: number;
  readonly classes: number;
}

/**
 * The windows over one image, and the mean of what they say of a pixel: windows start `stride` apart, the last ones are moved back
 * inside, and an image that is smaller than a window gets one, with nothing on its right and below.
 *
 * Logits are taken from the nearest patch, so that they are constant on rectangles whose borders are those of patches of some
 * window: means and classes are computed once per rectangle, not once per pixel.
 */
export class WindowPlan {
  /** One behind the other: row by row. */
  readonly windows: readonly Region[];
  readonly #rows: readonly Run[];
  readonly #columns: readonly Run[];
  readonly #across: number;

  constructor(
    readonly height: number,
    readonly width: number,
    readonly size: WindowSize,
  ) {
    const { heightPixels, widthPixels, strideRows, strideColumns } = size;
    const tops = windowStarts(height, heightPixels, strideRows);
    const lefts = windowStarts(width, widthPixels, strideColumns);
    this.windows = tops.flatMap((top) =>
      lefts.map((left) => ({ top, left, height: heightPixels, width: widthPixels })),
    );
    this.#across = lefts.length;
    this.#rows = runsOf(height, tops, nearestSources(heightPixels, size.rows));
    this.#columns = runsOf(width, lefts, nearestSources(widthPixels, size.columns));
  }

  /** Rectangles of equal logits. */
  get cells(): number {
    return this.#rows.length * this.#columns.length;
  }

  /** Mean logits of one head over the windows that see a rectangle, `[cells, classes]`. */
  average({ values, heads, head, classes }: WindowLogits): Float64Array {
    const means = new Float64Array(this.cells * classes);
    let to = 0;
    for (const down of this.#rows)
      for (const across of this.#columns) {
        const patches = this.#patchesOf(down, across);
        for (const patch of patches) {
          const from = (patch * heads + head) * classes;
          for (let c = 0; c < classes; c++)
            means[to + c] = (means[to + c] ?? 0) + (values[from + c] ?? 0) / patches.length;
        }
        to += classes;
      }
    return means;
  }

  /** Places of the patches that see a rectangle, over all windows. */
  #patchesOf(down: Run, across: Run): number[] {
    const { rows, columns } = this.size;
    return down.seen.flatMap((row) =>
      across.seen.map((column) => {
        const window = row.window * this.#across + column.window;
        return (window * rows + row.patch) * columns + column.patch;
      }),
    );
  }

  /** The class with the largest mean logit of each rectangle; of equals the first. Logits that are not numbers give class 0. */
  classes(logits: WindowLogits): Uint32Array {
    const means = this.average(logits);
    const { classes } = logits;
    return Uint32Array.from({ length: this.cells }, (_, cell) => {
      let best = 0;
      for (let c = 1; c < classes; c++)
        if ((means[cell * classes + c] ?? 0) > (means[cell * classes + best] ?? 0)) best = c;
      return best;
    });
  }

  /** The rectangle of each pixel, `[height, width]`. */
  cellOfPixels(): Uint32Array {
    const cells = new Uint32Array(this.height * this.width);
    for (const [down, { from: top, to: bottom }] of this.#rows.entries())
      for (let y = top; y < bottom; y++)
        for (const [across, { from, to }] of this.#columns.entries())
          cells.fill(down * this.#columns.length + across, y * this.width + from, y * this.width + to);
    return cells;
  }
}

/** First pixels of the windows along an axis. */
export function windowStarts(length: number, side: number, stride: number): number[] {
  const count = Math.ceil(Math.max(0, length - side) / stride) + 1;
  return Array.from({ length: count }, (_, i) => Math.max(0, Math.min(i * stride, length - side)));
}

function runsOf(length: number, starts: readonly number[], patchOf: Uint32Array): Run[] {
  const seenBy = (pixel: number) =>
    starts.flatMap((start, window) => {
      const patch = pixel < start ? undefined : patchOf[pixel - start];
      return patch === undefined ? [] : [{ window, patch }];
    });
  const runs: Run[] = [];
  let open = { from: 0, seen: seenBy(0) };
  for (let pixel = 1; pixel <= length; pixel++) {
    const seen = pixel < length ? seenBy(pixel) : [];
    if (isSame(seen, open.seen)) continue;
    runs.push({ ...open, to: pixel });
    open = { from: pixel, seen };
  }
  return runs;
}

function isSame(a: Run["seen"], b: Run["seen"]): boolean {
  return a.length === b.length && a.every((one, i) => one.window === b[i]?.window && one.patch === b[i]?.patch);
}
