/** Samples on the scale 0 … 1, row-major, channels interleaved. */
export interface Samples {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Float64Array;
}

/** Truncated to bytes after clipping, as NumPy's `astype(uint8)` of `clip(x, 0, 1) * 255`. */
export function bytesOf({ data }: Samples): Uint8Array {
  return Uint8Array.from(data, (value) => Math.trunc(255 * Math.min(1, Math.max(0, value))));
}

/** Of a standard deviation in pixels, cut at four of them, edges repeated: rows of the image first, then columns (SciPy). */
export function gaussianBlur(image: Samples, sigma: number): Samples {
  const radius = Math.floor(4 * sigma + 0.5);
  const raw = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp((-0.5 * (i - radius) ** 2) / sigma ** 2));
  const sum = raw.reduce((total, weight) => total + weight, 0);
  const weights = raw.map((weight) => weight / sum);
  return along(along(image, weights, "down"), weights, "across");
}

function along(image: Samples, weights: readonly number[], direction: "down" | "across"): Samples {
  const { width, height, channels, data } = image;
  const radius = (weights.length - 1) / 2;
  const result = new Float64Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const pixel = Math.floor(i / channels);
    const [x, y, channel] = [pixel % width, Math.floor(pixel / width), i % channels];
    let sum = 0;
    weights.forEach((weight, k) => {
      const column = direction === "across" ? clamped(x + k - radius, width) : x;
      const row = direction === "down" ? clamped(y + k - radius, height) : y;
      sum += weight * (data[(row * width + column) * channels + channel] ?? 0);
    });
    result[i] = sum;
  }
  return { ...image, data: result };
}

function clamped(place: number, length: number): number {
  return Math.min(length - 1, Math.max(0, place));
}

/** Pixels of one axis that make one of the resized image, with weights in units of 2⁻²². */
interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

/** Resizes bytes with Pillow's box filter, its weights of 22 bits and its two roundings: columns first, then rows. */
export function boxResize(
  image: { readonly width: number; readonly height: number; readonly channels: number; readonly data: Uint8Array },
  width: number,
  height: number,
): Uint8Array {
  const { channels, data } = image;
  const [columns, rows] = [boxTaps(image.width, width), boxTaps(image.height, height)];
  const narrowed = new Uint8Array(width * image.height * channels);
  const weighted = ({ first, weights }: Taps, at: (place: number) => number): number =>
    Math.min(255, Math.max(0, Math.floor(weights.reduce((sum, w, k) => sum + w * at(first + k), 2 ** 21) / 2 ** 22)));
  for (let i = 0; i < narrowed.length; i++) {
    const [channel, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)];
    const taps = columns[x] ?? { first: 0, weights: [] };
    narrowed[i] = weighted(taps, (column) => data[(y * image.width + column) * channels + channel] ?? 0);
  }
  return Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const [inRow, y] = [i % (width * channels), Math.floor(i / (width * channels))];
    return weighted(rows[y] ?? { first: 0, weights: [] }, (row) => narrowed[row * width * channels + inRow] ?? 0);
  });
}

function boxTaps(size: number, scaled: number): Taps[] {
  const scale = size / scaled;
  const stretch = Math.max(1, scale);
  return Array.from({ length: scaled }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - 0.5 * stretch + 0.5));
    const end = Math.min(size, Math.trunc(center + 0.5 * stretch + 0.5));
    const raw = Array.from({ length: end - first }, (__, k) => {
      const place = (first + k - center + 0.5) / stretch;
      return place > -0.5 && place <= 0.5 ? 1 : 0;
    });
    const sum = raw.reduce<number>((total, weight) => total + weight, 0);
    return { first, weights: raw.map((weight) => Math.trunc(0.5 + (weight / sum) * 2 ** 22)) };
  });
}

/**
 * The middle of an image, enlarged by a factor to at least its old size and cut to it: linear, corners on corners (SciPy's `zoom` of
 * order 1 on float32).
 */
export function zoomed(image: Samples, factor: number): Float32Array {
  const { width, height, channels, data } = image;
  const [columns, rows] = [zoomTaps(width, factor), zoomTaps(height, factor)];
  return Float32Array.from(data, (_, i) => {
    const pixel = Math.floor(i / channels);
    const [column, row] = [columns[pixel % width], rows[Math.floor(pixel / width)]];
    if (!column || !row) return 0;
    const at = (y: number, x: number): number => data[(y * width + x) * channels + (i % channels)] ?? 0;
    const line = (y: number): number => at(y, column.low) * (1 - column.part) + at(y, column.high) * column.part;
    return line(row.low) * (1 - row.part) + line(row.high) * row.part;
  });
}

function zoomTaps(length: number, factor: number): { low: number; high: number; part: number }[] {
  const cut = Math.ceil(length / factor);
  const start = Math.floor((length - cut) / 2);
  const enlarged = roundHalfEven(cut * factor);
  const trimmed = Math.floor((enlarged - length) / 2);
  return Array.from({ length }, (_, i) => {
    const place = enlarged > 1 ? ((i + trimmed) * (cut - 1)) / (enlarged - 1) : 0;
    const low = Math.min(cut - 1, Math.floor(place));
    return { low: start + low, high: start + Math.min(cut - 1, low + 1), part: place - low };
  });
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}
