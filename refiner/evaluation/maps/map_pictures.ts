import type { RgbImage } from "../../data/image_source.ts";
import { EvaluationError } from "../core/errors.ts";

/** Sizes in pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/**
 * A map with a value per patch as grey levels of a picture of any size: each patch keeps its one value, nothing is smoothed.
 *
 * @param values - `[rows, columns]`, not negative; the largest becomes `white` and 0 becomes 0
 * @returns levels `[height, width]`
 * @throws EvaluationError if the values are not those of a grid, or one is negative, NaN or infinite
 */
export function greyLevels(
  values: ArrayLike<number>,
  { rows, columns }: { readonly rows: number; readonly columns: number },
  { width, height }: PictureSize,
  white = 65_535,
): Uint16Array {
  if (values.length !== rows * columns)
    throw new EvaluationError(
      `greyLevels: ${values.length} values for ${rows} × ${columns} patches; give one per patch`,
    );
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? Number.NaN;
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY))
      throw new EvaluationError(
        `greyLevels: row ${Math.floor(i / columns)} of the map holds ${value}; give finite values from 0 on, such as attention weights`,
      );
    most = Math.max(most, value);
  }
  const levels = Uint16Array.from(values, (value) => (most > 0 ? Math.round((white * value) / most) : 0));
  const [row, column] = [cells(height, rows), cells(width, columns)];
  return Uint16Array.from({ length: width * height }, (_, pixel) => {
    const [y, x] = [Math.floor(pixel / width), pixel % width];
    return levels[(row[y] ?? 0) * columns + (column[x] ?? 0)] ?? 0;
  });
}

/** A picture with a pixel per patch at another size, without smoothing. */
export function enlargedMap(map: RgbImage, { width, height }: PictureSize): RgbImage {
  const { channels, data } = map;
  const [row, column] = [cells(height, map.height), cells(width, map.width)];
  const enlarged = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = ((row[y] ?? 0) * map.width + (column[x] ?? 0)) * channels;
      enlarged.set(data.subarray(from, from + channels), (y * width + x) * channels);
    }
  }
  return { width, height, channels, data: enlarged };
}

/** The cell of a grid under the centre of each pixel along one side. */
function cells(pixels: number, count: number): Uint32Array {
  return Uint32Array.from({ length: pixels }, (_, at) => Math.floor(((at + 0.5) * count) / pixels));
}
