import type { RgbImage } from "../image_source.ts";

/** Weights are whole numbers of 2⁻²², so that all sums are exact (Pillow, `Resample.c`). */
const precisionBits = 22;
/** Samples on each side that the filter looks at. */
const filterSupport = 2;

/** What one output sample is made of. */
interface Taps {
  readonly first: number;
  readonly weights: Int32Array;
}

/** An image of another size as Pillow's bicubic filter gives it, to the bit: columns first, then rows. */
export function resizeBicubic(image: RgbImage, height: number, width: number): RgbImage {
  const { channels } = image;
  const across = { lines: image.height, perStep: channels, perLine: image.width * channels };
  const wide = width === image.width ? image.data : resampled(image.data, tapsOf(image.width, width), across);
  const down = { lines: 1, perStep: width * channels, perLine: 0 };
  const data = height === image.height ? wide : resampled(wide, tapsOf(image.height, height), down);
  return { width, height, channels, data };
}

/** How samples lie in memory. */
interface Layout {
  readonly lines: number;
  /** Samples from one to its neighbour along the axis that is resized. */
  readonly perStep: number;
  /** Samples of a line before resizing. */
  readonly perLine: number;
}

function resampled(source: Uint8Array, taps: readonly Taps[], { lines, perStep, perLine }: Layout): Uint8Array {
  const result = new Uint8Array(lines * taps.length * perStep);
  for (let line = 0; line < lines; line++) {
    for (const [place, { first, weights }] of taps.entries()) {
      const to = (line * taps.length + place) * perStep;
      for (let sample = 0; sample < perStep; sample++) {
        let from = line * perLine + first * perStep + sample;
        let sum = 2 ** (precisionBits - 1);
        for (const weight of weights) {
          sum += (source[from] ?? 0) * weight;
          from += perStep;
        }
        result[to + sample] = Math.min(255, Math.max(0, sum >> precisionBits));
      }
    }
  }
  return result;
}

function tapsOf(input: number, output: number): Taps[] {
  const scale = input / output;
  const filterScale = Math.max(1, scale);
  const support = filterSupport * filterScale;
  return Array.from({ length: output }, (_, place) => {
    const centre = (place + 0.5) * scale;
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
