/** Class of a pixel that no loss and no score counts. */
export const ignored = -1;

/** A class per pixel, row-major: `data[y * width + x]`, from 0 on, or -1 where the pixel is ignored. */
export interface LabelMap {
  readonly width: number;
  readonly height: number;
  readonly data: Int32Array;
}

/** A rectangle of whole pixels. */
export interface Region {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** The labels inside a rectangle that lies within the map. */
export function cutLabels(map: LabelMap, { top, left, height, width }: Region): LabelMap {
  const data = new Int32Array(height * width);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * map.width + left;
    data.set(map.data.subarray(from, from + width), y * width);
  }
  return { width, height, data };
}

/** The larger map with these labels at a place of it; all around them is ignored. */
export function placeLabels(map: LabelMap, { top, left, height, width }: Region): LabelMap {
  const data = new Int32Array(height * width).fill(ignored);
  for (let y = 0; y < map.height; y++)
    data.set(map.data.subarray(y * map.width, (y + 1) * map.width), (top + y) * width + left);
  return { width, height, data };
}
