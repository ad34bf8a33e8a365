import { ShapeError } from "../engine/index.ts";
import type { PositionAxes } from "./vit_config.ts";

/** eq. of "Attention is all you need", § 3.5, for each half of the channels. */
const maxWavelength = 10_000;

/**
 * Fixed 2-D sin-cos position embedding, computed in float64.
 *
 * @returns `[rows, columns, width]`, row-major; each half of the channels is `[sin(p ω), cos(p ω)]` of one axis
 * @throws ShapeError if the width is not a multiple of 4
 */
export function sincosPositions(
  rows: number,
  columns: number,
  width: number,
  axes: PositionAxes = "row-first",
): Float32Array {
  if (width % 4 !== 0)
    throw new ShapeError(
      `positions: width ${width} is not a multiple of 4; sin-cos embeddings need sine and cosine for two axes`,
    );
  const half = width / 2;
  const quarter = width / 4;
  const values = new Float32Array(rows * columns * width);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = (row * columns + column) * width;
      const [first, second] = axes === "row-first" ? [row, column] : [column, row];
      for (let j = 0; j < quarter; j++) {
        const omega = maxWavelength ** ((-2 * j) / half);
        values[at + j] = Math.sin(first * omega);
        values[at + quarter + j] = Math.cos(first * omega);
        values[at + half + j] = Math.sin(second * omega);
        values[at + half + quarter + j] = Math.cos(second * omega);
      }
    }
  }
  return values;
}
