/** An image as rows of interleaved RGB bytes. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

type Axis = { readonly size: number; readonly scaled: number; readonly support: 1 | 2 };

const clampByte = (x: number): number => Math.min(255, Math.max(0, x));

function pictureOf(width: number, height: number, at: (x: number, y: number, channel: number) => number): Picture {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) =>
    at(Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3),
  );
  return { width, height, data };
}

function sample({ width, height, data }: Picture, x: number, y: number, channel: number): number {
  const column = Math.min(width - 1, Math.max(0, x));
  const row = Math.min(height - 1, Math.max(0, y));
  return data[3 * (row * width + column) + channel] ?? Number.NaN;
}

export function cropReference(
  image: Picture,
  box: { left: number; top: number; width: number; height: number },
): Picture {
  return pictureOf(box.width, box.height, (x, y, c) => sample(image, box.left + x, box.top + y, c));
}

export function flipReference(image: Picture): Picture {
  return pictureOf(image.width, image.height, (x, y, c) => sample(image, image.width - 1 - x, y, c));
}

/** Resampling as Pillow does it: float64 weights, 22 fixed-point bits, bytes between the two axes. */
export function resizeReference(image: Picture, width: number, height: number, support: 1 | 2): Picture {
  const columns = Array.from({ length: width }, (_, x) =>
    axisWeights({ size: image.width, scaled: width, support }, x),
  );
  const narrow = pictureOf(width, image.height, (x, y, c) =>
    weighted(columns[x] ?? [], (position) => sample(image, position, y, c)),
  );
  const rows = Array.from({ length: height }, (_, y) =>
    axisWeights({ size: image.height, scaled: height, support }, y),
  );
  return pictureOf(width, height, (x, y, c) => weighted(rows[y] ?? [], (position) => sample(narrow, x, position, c)));
}

type Weights = readonly (readonly [position: number, weight: number])[];

function weighted(weights: Weights, at: (position: number) => number): number {
  const sum = weights.reduce((total, [position, weight]) => total + weight * at(position), 2 ** 21);
  return clampByte(Math.floor(sum / 2 ** 22));
}

function axisWeights({ size, scaled, support }: Axis, position: number): Weights {
  const stretch = Math.max(1, size / scaled);
  const center = ((position + 0.5) * size) / scaled;
  const first = Math.max(0, Math.trunc(center - support * stretch + 0.5));
  const end = Math.min(size, Math.trunc(center + support * stretch + 0.5));
  const raw = Array.from({ length: end - first }, (_, i) =>
    (support === 2 ? cubic : triangle)(Math.abs((first + i - center + 0.5) / stretch)),
  );
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((weight, i) => {
    const fixed = (weight / sum) * 2 ** 22;
    return [first + i, Math.sign(fixed) * Math.floor(Math.abs(fixed) + 0.5)] as const;
  });
}

function cubic(x: number): number {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function triangle(x: number): number {
  return Math.max(0, 1 - x);
}

function greyOf(r: number, g: number, b: number): number {
  return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
}

function mapPixels(image: Picture, change: (r: number, g: number, b: number) => readonly number[]): Picture {
  const data = new Uint8Array(image.data.length);
  for (let i = 0; i < data.length; i += 3) {
    const [r = 0, g = 0, b = 0] = image.data.subarray(i, i + 3);
    data.set(change(r, g, b), i);
  }
  return { ...image, data };
}

export function greyscaleReference(image: Picture): Picture {
  return mapPixels(image, (r, g, b) => Array<number>(3).fill(greyOf(r, g, b)));
}

export function solariseReference(image: Picture, threshold: number): Picture {
  return { ...image, data: image.data.map((v) => (v < threshold ? v : 255 - v)) };
}

/** `other + factor (value - other)` with the f32 roundings of Pillow. */
function blend(value: number, other: number, factor: number): number {
  const { fround } = Math;
  return Math.trunc(clampByte(fround(other + fround(fround(factor) * (value - other)))));
}

export function jitterReference(image: Picture, operation: string, factor: number): Picture {
  if (operation === "hue") return mapPixels(image, (r, g, b) => shiftHue(r, g, b, Math.trunc(factor * 255)));
  const greys: number[] = [];
  for (let i = 0; i < image.data.length; i += 3) greys.push(greyOf(...rgbAt(image, i)));
  const mean = Math.trunc(greys.reduce((a, b) => a + b, 0) / greys.length + 0.5);
  return mapPixels(image, (r, g, b) => {
    const other = { brightness: 0, contrast: mean, saturation: greyOf(r, g, b) }[operation] ?? Number.NaN;
    return [blend(r, other, factor), blend(g, other, factor), blend(b, other, factor)];
  });
}

function rgbAt(image: Picture, at: number): [number, number, number] {
  const [r = 0, g = 0, b = 0] = image.data.subarray(at, at + 3);
  return [r, g, b];
}

/** Through HSV bytes with the f32 and f64 steps of Pillow's conversion. */
function shiftHue(r: number, g: number, b: number, shift: number): number[] {
  const { fround } = Math;
  const most = Math.max(r, g, b);
  const spread = most - Math.min(r, g, b);
  if (spread === 0) return [r, g, b];
  const [rc, gc, bc] = [r, g, b].map((v) => fround((most - v) / spread)) as [number, number, number];
  const sixths = r === most ? fround(bc - gc) : g === most ? fround(2 + rc - bc) : fround(4 + gc - rc);
  const hue = Math.trunc(fround((sixths / 6 + 1) % 1) * 255);
  const saturation = Math.trunc(fround(spread / most) * 255);
  const turned = (((hue + shift) % 256) + 256) % 256;
  const sector = Math.floor((turned * 6) / 255);
  const part = fround((turned * 6) / 255 - sector);
  const full = fround(saturation / 255);
  const p = Math.round(most * (1 - full));
  const q = Math.round(most * (1 - full * part));
  const t = Math.round(most * (1 - full * (1 - part)));
  const sectors = [
    [most, t, p],
    [q, most, p],
    [p, most, t],
    [p, q, most],
    [t, p, most],
    [most, p, q],
  ];
  return sectors[sector % 6] ?? [];
}

/** Three extended box blurs along the rows, then three along the columns; bytes after each. */
export function blurReference(image: Picture, sigmaPixels: number): Picture {
  const variance = sigmaPixels ** 2 / 3;
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const fraction =
    ((2 * whole + 1) * (whole * (whole + 1) - 3 * variance)) / (6 * (variance - (whole + 1) * (whole + 1)));
  const radius = Math.fround(whole + fraction);
  const inner = Math.trunc(Math.fround(2 ** 24 / Math.fround(2 * radius + 1)));
  const reach = Math.trunc(radius);
  const edge = Math.trunc((2 ** 24 - (2 * reach + 1) * inner) / 2);
  let blurred = image;
  for (const [dx, dy] of [...Array(3).fill([1, 0]), ...Array(3).fill([0, 1])]) {
    const before = blurred;
    blurred = pictureOf(image.width, image.height, (x, y, c) => {
      let sum =
        edge *
        (sample(before, x - (reach + 1) * dx, y - (reach + 1) * dy, c) +
          sample(before, x + (reach + 1) * dx, y + (reach + 1) * dy, c));
      for (let d = -reach; d <= reach; d++) sum += inner * sample(before, x + d * dx, y + d * dy, c);
      return Math.floor((sum + 2 ** 23) / 2 ** 24);
    });
  }
  return blurred;
}
