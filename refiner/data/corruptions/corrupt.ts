import { DataOptionError } from "../errors.ts";
import type { RgbImage } from "../image_source.ts";
import type { CorruptionDraws } from "./draws.ts";
import { hsvOf, rgbOfHsv } from "./hsv.ts";
import { type Corruption, corruptionLevels, corruptions, isCorruption } from "./levels.ts";
import { boxResize, bytesOf, gaussianBlur, type Samples, zoomed } from "./planes.ts";

/** Encodes as JPEG of a quality 1 … 100 and decodes again. */
export type JpegCodec = (image: RgbImage, quality: number) => Promise<RgbImage>;

export interface CorruptOptions {
  readonly corruption: Corruption;
  /** 1 … 5 */
  readonly severity: number;
  readonly draws: CorruptionDraws;
  /** For jpeg_compression. */
  readonly jpeg?: JpegCodec;
}

/**
 * Corrupts an image as ImageNet-C was made (Hendrycks and Dietterich, arXiv 1903.12261), in float64, with truncation to bytes. An
 * approximation of that data set, whose images were cropped first and stored as JPEG. Grey images become colour.
 *
 * @returns an image of the same size
 * @throws DataOptionError for an unknown corruption, a severity outside 1 … 5, or jpeg_compression without a codec
 */
export async function corruptImage(image: RgbImage, options: CorruptOptions): Promise<RgbImage> {
  const { corruption, severity, jpeg } = options;
  if (!isCorruption(corruption))
    throw new DataOptionError(`corruptions: ${String(corruption)} is not known; choose from ${corruptions.join(", ")}`);
  if (![1, 2, 3, 4, 5].includes(severity))
    throw new DataOptionError(`corruptions: severity is ${severity}, expected 1 … 5`);
  const colour = inColour(image);
  if (corruption !== "jpeg_compression") return { ...colour, data: corrupted(colour, options) };
  if (!jpeg) throw new DataOptionError("corruptions: jpeg_compression needs an encoder; give jpeg, or leave it out");
  return jpeg(colour, corruptionLevels.jpeg_compression[severity - 1] ?? 25);
}

function inColour(image: RgbImage): RgbImage {
  if (image.channels === 3) return image;
  const data = Uint8Array.from({ length: 3 * image.data.length }, (_, i) => image.data[Math.floor(i / 3)] ?? 0);
  return { ...image, channels: 3, data };
}

function corrupted(image: RgbImage, { corruption, severity, draws }: CorruptOptions): Uint8Array {
  const samples = samplesOf(image);
  if (corruption === "glass_blur") return glass(image, level("glass_blur", severity), draws);
  if (corruption === "pixelate") return pixelated(image, level("pixelate", severity)[0]);
  if (corruption === "impulse_noise") return impulses(image, level("impulse_noise", severity)[0], draws);
  if (corruption === "contrast") return bytesOf(flattened(samples, level("contrast", severity)[0]));
  if (corruption === "gaussian_blur") return bytesOf(gaussianBlur(samples, level("gaussian_blur", severity)[0]));
  if (corruption === "zoom_blur") return bytesOf(zoomBlurred(samples, level("zoom_blur", severity)));
  if (corruption === "fog") return bytesOf(fogged(samples, level("fog", severity), draws));
  if (corruption === "brightness" || corruption === "saturate")
    return bytesOf(recoloured(samples, corruption, severity));
  const [amount] = level(corruption, severity);
  const each: Readonly<Record<string, (x: number) => number>> = {
    gaussian_noise: (x) => x + amount * draws.normal(),
    speckle_noise: (x) => x + x * amount * draws.normal(),
    shot_noise: (x) => draws.poisson(x * amount) / amount,
  };
  const change = each[corruption];
  if (!change) throw new DataOptionError(`corruptions: ${corruption} is not made here`);
  return bytesOf({ ...samples, data: samples.data.map(change) });
}

function level(corruption: Corruption, severity: number): readonly [number, ...number[]] {
  const stated: number | readonly number[] | undefined = corruptionLevels[corruption][severity - 1];
  const [first = 0, ...rest] = typeof stated === "number" ? [stated] : (stated ?? []);
  return [first, ...rest];
}

function samplesOf({ width, height, channels, data }: RgbImage): Samples {
  return { width, height, channels, data: Float64Array.from(data, (value) => value / 255) };
}

/** Towards the mean of each channel. */
function flattened(image: Samples, amount: number): Samples {
  const { data, channels } = image;
  const sums = Array.from({ length: channels }, () => 0);
  data.forEach((value, i) => {
    sums[i % channels] = (sums[i % channels] ?? 0) + value;
  });
  const means = sums.map((sum) => sum / (data.length / channels));
  return {
    ...image,
    data: data.map((value, i) => (value - (means[i % channels] ?? 0)) * amount + (means[i % channels] ?? 0)),
  };
}

function recoloured(image: Samples, corruption: "brightness" | "saturate", severity: number): Samples {
  const [factor, shift = 0] = level(corruption, severity);
  const inRange = (x: number): number => Math.min(1, Math.max(0, x));
  const { data } = image;
  const result = new Float64Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    const [hue, saturation, value] = hsvOf([data[i] ?? 0, data[i + 1] ?? 0, data[i + 2] ?? 0]);
    const changed =
      corruption === "brightness"
        ? ([hue, saturation, inRange(value + factor)] as const)
        : ([hue, inRange(saturation * factor + shift), value] as const);
    result.set(rgbOfHsv(changed), i);
  }
  return { ...image, data: result };
}

/** Mean of the image and its zooms, summed in float32. */
function zoomBlurred(image: Samples, factors: readonly number[]): Samples {
  const single = { ...image, data: image.data.map(Math.fround) };
  const sum = new Float32Array(image.data.length);
  for (const factor of factors) {
    const zoom = zoomed(single, factor);
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (zoom[i] ?? 0);
  }
  const count = factors.length + 1;
  return { ...image, data: single.data.map((value, i) => Math.fround(Math.fround(value + (sum[i] ?? 0)) / count)) };
}

function fogged(image: Samples, [thickness, decay = 2]: readonly number[], draws: CorruptionDraws): Samples {
  const { width, height, channels, data } = image;
  const side = Math.max(width, height);
  const map = draws.landscape(side, decay);
  const strength = thickness ?? 1;
  const most = data.reduce((largest, value) => Math.max(largest, value), 0);
  return {
    ...image,
    data: data.map((value, i) => {
      const pixel = Math.floor(i / channels);
      const fog = map[Math.floor(pixel / width) * side + (pixel % width)] ?? 0;
      return ((value + strength * fog) * most) / (most + strength);
    }),
  };
}

/** Values that become 0 or 255, half of the share each. */
function impulses({ data }: RgbImage, share: number, draws: CorruptionDraws): Uint8Array {
  return data.map((value) => {
    if (draws.uniform() >= share) return value;
    return draws.uniform() < 0.5 ? 0 : 255;
  });
}

function pixelated(image: RgbImage, share: number): Uint8Array {
  const { width, height, channels } = image;
  const [narrow, low] = [Math.max(1, Math.trunc(width * share)), Math.max(1, Math.trunc(height * share))];
  const small = { width: narrow, height: low, channels, data: boxResize(image, narrow, low) };
  return boxResize(small, width, height);
}

/**
 * Blurs, lets every pixel become a copy of one nearby, again and again, and blurs. From the last row and column on, as published: the second
 * half of the exchange that was meant has no effect there.
 */
function glass(image: RgbImage, [sigma, reach = 1, rounds = 1]: readonly number[], draws: CorruptionDraws): Uint8Array {
  const { width, height, channels } = image;
  const data = bytesOf(gaussianBlur(samplesOf(image), sigma ?? 1));
  for (let round = 0; round < rounds; round++) {
    for (let row = height - reach; row > reach; row--) {
      for (let column = width - reach; column > reach; column--) {
        const [dx, dy] = [draws.integer(-reach, reach), draws.integer(-reach, reach)];
        const source = ((row + dy) * width + column + dx) * channels;
        data.copyWithin((row * width + column) * channels, source, source + channels);
      }
    }
  }
  return bytesOf(
    gaussianBlur({ ...samplesOf(image), data: Float64Array.from(data, (value) => value / 255) }, sigma ?? 1),
  );
}
