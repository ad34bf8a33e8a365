import { type Device, recordProgram } from "../../../../engine/index.ts";
import type { RgbImage } from "../../../../refiner/data/image_source.ts";
import {
  packImages,
  type ViewConfig,
  type ViewParameters,
  views,
  viewWords,
} from "../../../../refiner/data/views/index.ts";
import {
  blurReference,
  cropReference,
  flipReference,
  greyscaleReference,
  jitterReference,
  type Picture,
  resizeReference,
  solariseReference,
} from "../../../reference/views.ts";

/** Mean and deviation that leave the values 0 … 255 as they are. */
export const unchanged = { mean: [0, 0, 0], deviation: [1 / 255, 1 / 255, 1 / 255] };

/** An image of smooth colours with noise, reproducible by its seed. */
export function picture(width: number, height: number, seed: number, channels: 1 | 3 = 3): RgbImage {
  let state = seed >>> 0;
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes, § 7.1
    const wave = 128 + 100 * Math.sin((i % (width * channels)) / (7 + (i % channels)) + i / 400 + seed);
    return Math.max(0, Math.min(255, wave + (state >>> 25) - 64));
  });
  return { width, height, channels, data };
}

/** Runs the views of a batch. */
export async function render(
  device: Device,
  images: readonly RgbImage[],
  config: ViewConfig,
  parameters: Uint32Array,
): Promise<{ global: ArrayLike<number>; local: ArrayLike<number> }> {
  const bytes = images.reduce((sum, { data }) => sum + data.length, 0);
  const packed = packImages(images, bytes);
  const recorded = recordProgram(
    device,
    (p) => {
      const operands = {
        images: p.input("images", [packed.images.length], "u32"),
        table: p.input("table", [images.length, 4], "u32"),
        parameters: p.input("parameters", [parameters.length / viewWords, viewWords], "u32"),
      };
      const { global, local } = views(p, operands, config);
      return { global, local: local ?? global };
    },
    { inference: true },
  );
  const inputs = { images: packed.images, table: packed.table, parameters };
  const values = await (await recorded.run(inputs, ["global", "local"])).read();
  recorded.destroy();
  return values;
}

/** The same view by the reference, `[3, height, width]`, values 0 … 255. */
export function reference(
  image: RgbImage,
  view: ViewParameters,
  size: { width: number; height: number },
  support: 1 | 2 = 2,
): Float64Array {
  const { scaled = { left: 0, top: 0, ...size }, jitter = [], sigmaPixels = 0, solariseFrom = 256 } = view;
  let now: Picture = cropReference(colour(image), view.crop);
  now = resizeReference(now, scaled.width, scaled.height, support);
  now = cropReference(now, { ...size, left: scaled.left, top: scaled.top });
  if (view.flip) now = flipReference(now);
  for (const [operation, factor] of jitter) now = jitterReference(now, operation, factor);
  if (sigmaPixels > 0) now = blurReference(now, sigmaPixels);
  if (view.greyscale) now = greyscaleReference(now);
  const { data } = solariseReference(now, solariseFrom);
  const pixels = size.width * size.height;
  return Float64Array.from({ length: 3 * pixels }, (_, i) => data[3 * (i % pixels) + Math.floor(i / pixels)] ?? 0);
}

function colour(image: RgbImage): Picture {
  if (image.channels === 3) return image;
  return {
    ...image,
    data: Uint8Array.from({ length: 3 * image.data.length }, (_, i) => image.data[Math.floor(i / 3)] ?? 0),
  };
}

/** Largest difference in grey levels, and the share of values that differ at all. */
export function levels(actual: ArrayLike<number>, expected: ArrayLike<number>): { most: number; share: number } {
  let most = actual.length === expected.length ? 0 : Number.POSITIVE_INFINITY;
  let unequal = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(Math.round(actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    most = Math.max(most, difference);
    if (difference > 0) unequal++;
  }
  return { most, share: unequal / expected.length };
}
