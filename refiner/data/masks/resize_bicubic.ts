import type { RgbImage } from "../image_source.ts";
import type { Region } from "./label_map.ts";

/** Weights are whole numbers of 2⁻²², so that all sums are exact (Pillow, `Resample.c`). */
const precisionBits = 22;
/** Samples on each side that the filter looks at. */
const filterSupport = 2;

/** What one output sample is made of. */
interface Taps {
  readonly first: number;
  readonly weights: Int32Array;
}

/**
 * An image of another size as Pillow's bicubic filter gives it, to the bit: columns first, then rows.
 *
 * @param part - what of the result is wanted; the rest of it is not computed. Default: all
 */
export function resizeBicubic(
  image: RgbImage,
  height: number,
  width: number,
  part: Region = { top: 0, left: 0, height, width },
): RgbImage {
  const { channels } = image;
  const rows = height === image.height ? undefined : tapsOf(image.height, height, part.top, part.height);
  const band = rows ? rowsRead(rows) : { first: part.top, end: part.top + part.height };
  const wide =
    width === image.width
      ? cutImage(image, { top: band.first, left: part.left, height: band.end - band.first, width: part.width }).data
      : resizedColumns(image, band, tapsOf(image.width, width, part.left, part.width));
  const data = rows ? resizedRows(wide, part.width * channels, rows, band.first) : wide;
  return { width: part.width, height: part.height, channels, data };
}

/** The part of an image inside a rectangle that lies within it. */
export function cutImage(image: RgbImage, { top, left, height, width }: Region): RgbImage {
  const { channels } = image;
  const data = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(from, from + width * channels), y * width * channels);
  }
  return { width, height, channels, data };
}

/** Rows of the image from `first` to the one before `end`. */
interface Band {
  readonly first: number;
  readonly end: number;
}

/** Those that some rows of the result are made of. */
function rowsRead(taps: readonly Taps[]): Band {
  return {
    first: Math.min(...taps.map(({ first }) => first)),
    end: Math.max(...taps.map(({ first, weights }) => first + weights.length)),
  };
}

const half = 2 ** (precisionBits - 1);

/** Of the rows of a band. */
function resizedColumns({ data, width, channels }: RgbImage, band: Band, taps: readonly Taps[]): Uint8Array {
  const result = new Uint8ClampedArray((band.end - band.first) * taps.length * channels);
  let to = 0;
  for (let y = band.first; y < band.end; y++)
    for (let x = 0; x < taps.length; x++) {
      const { first, weights } = taps[x] ?? noTaps;
      for (let c = 0; c < channels; c++) {
        let from = (y * width + first) * channels + c;
        let sum = half;
        for (let i = 0; i < weights.length; i++, from += channels) sum += (data[from] ?? 0) * (weights[i] ?? 0);
        result[to++] = sum >> precisionBits;
      }
    }
  return new Uint8Array(result.buffer);
}

/** A row of the result at a time, so that memory is read in order. @param firstRow - of the image, that `data` begins with */
function resizedRows(data: Uint8Array, perRow: number, taps: readonly Taps[], firstRow: number): Uint8Array {
  const result = new Uint8ClampedArray(taps.length * perRow);
  const sums = new Int32Array(perRow);
  for (const [y, { first, weights }] of taps.entries()) {
    sums.fill(half);
    for (const [i, weight] of weights.entries()) {
      const from = (first - firstRow + i) * perRow;
      for (let x = 0; x < perRow; x++) sums[x] = (sums[x] ?? 0) + (data[from + x] ?? 0) * weight;
    }
    for (let x = 0; x < perRow; x++) result[y * perRow + x] = (sums[x] ?? 0) >> precisionBits;
  }
  return new Uint8Array(result.buffer);
}

const noTaps: Taps = { first: 0, weights: new Int32Array() };

/** Of `count` samples of the output from `begin` on. */
function tapsOf(input: number, output: number, begin: number, count: number): Taps[] {
  const scale = input / output;
  const filterScale = Math.max(1, scale);
  const support = filterSupport * filterScale;
  return Array.from({ length: count }, (_, place) => {
    const centre = (begin + place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(input, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: end - first }, (_, i) =>
      cubic((i + first - centre + 0.5) * (1 / filterScale)),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: Int32Array.from(weights, (weight) => fixedPoint(total === 0 ? weight : weight / total)) };
  });
}

/** Keys' cubic with a = -1/2. */
function cubic(at: number): number {
  const a = -0.5;
  const x = Math.abs(at);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Halves go away from 0. */
function fixedPoint(weight: number): number {
  return Math.trunc(weight * 2 ** precisionBits + (weight < 0 ? -0.5 : 0.5));
}
