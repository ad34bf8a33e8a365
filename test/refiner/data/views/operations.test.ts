import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  plainView,
  type ViewConfig,
  type ViewParameters,
  viewWords,
  writeParameters,
} from "../../../../refiner/data/views/index.ts";
import { testDevice } from "../../../device.ts";
import { levels, picture, reference, render, unchanged } from "./render.ts";

const device = await testDevice();

/** Renders one view of one image and compares it with the reference: `most` levels, and `share` of values not equal. */
async function check(
  image: ReturnType<typeof picture>,
  size: { width: number; height: number },
  view: ViewParameters,
  bounds: { most: number; share: number },
  interpolation: ViewConfig["interpolation"] = "bicubic",
): Promise<void> {
  const sigma = view.sigmaPixels ?? 0;
  const options = {
    ...plainView,
    jitter: { ...plainView.jitter, probability: view.jitter ? 1 : 0 },
    blur: { probability: sigma > 0 ? 1 : 0, sigmaPixels: [sigma, sigma] as const },
  };
  const global = { heightPixels: size.height, widthPixels: size.width, views: [options] };
  const { mean, deviation } = {
    mean: unchanged.mean.slice(0, image.channels),
    deviation: unchanged.deviation.slice(0, image.channels),
  };
  const parameters = new Uint32Array(viewWords);
  writeParameters(parameters, 0, global, view);
  const actual = (
    await render(device, [image], { global, channels: image.channels, mean, deviation, interpolation }, parameters)
  ).global;
  const expected = reference(image, view, size, interpolation === "bicubic" ? 2 : 1);
  const { most, share } = levels(actual, expected.subarray(0, actual.length));
  expect(most).toBeLessThanOrEqual(bounds.most);
  expect(share).toBeLessThanOrEqual(bounds.share);
}

const side = (most: number) => fc.integer({ min: 1, max: most });
const seed = fc.nat(1000);
const whole = (width: number, height: number) => ({ left: 0, top: 0, width, height });
/** f32 weights move a sum by about 1e-4 levels, so about that share of values falls on the other side of a rounding. */
const rounded = { most: 1, share: 0.01 };
const exact = { most: 0, share: 0 };

describe("a view", () => {
  it("is resized as by Pillow, up and down, at any size", async () => {
    const sides = fc.record({ w: side(150), h: side(150), width: side(50), height: side(50), seed });
    const property = fc.asyncProperty(sides, fc.constantFrom("bicubic", "bilinear"), async (s, interpolation) => {
      const view = { crop: whole(s.w, s.h) };
      const bounds = { most: 1, share: Math.max(rounded.share, 1 / (s.width * s.height)) };
      await check(picture(s.w, s.h, s.seed), s, view, bounds, interpolation);
    });
    await fc.assert(property, { numRuns: 15 });
  });

  it("of a crop longer than one chunk of rows is resized as by Pillow", async () => {
    const crop = { left: 3, top: 1, width: 29, height: 598 };
    await check(picture(40, 600, 1), { width: 9, height: 18 }, { crop }, rounded);
  });

  it("of a crop reads no pixel outside the crop", async () => {
    const image = picture(60, 50, 2);
    await check(image, { width: 24, height: 24 }, { crop: { left: 59, top: 49, width: 1, height: 1 } }, exact);
    await check(
      image,
      { width: 24, height: 24 },
      { crop: { left: 31, top: 9, width: 29, height: 17 }, flip: true },
      rounded,
    );
  });

  it("of a grey image has one channel", async () => {
    const image = picture(31, 33, 3, 1);
    const jitter = [
      ["contrast", 1.3],
      ["saturation", 1.2],
      ["brightness", 0.8],
      ["hue", 0.05],
    ] as const;
    await check(
      image,
      { width: 28, height: 28 },
      { crop: whole(31, 33), jitter, sigmaPixels: 1 },
      { most: 2, share: 0.01 },
    );
  });

  it("is jittered in the given order with Pillow's roundings", async () => {
    const step = fc.tuple(
      fc.shuffledSubarray(["brightness", "contrast", "saturation", "hue"] as const),
      fc.array(fc.double({ min: -0.5, max: 0.5, noNaN: true }), { minLength: 4, maxLength: 4 }),
    );
    const property = fc.asyncProperty(step, seed, async ([order, draws], s) => {
      const jitter = order.map((operation, i) => [operation, (operation === "hue" ? 0 : 1) + (draws[i] ?? 0)] as const);
      // f32 products may be fused with the sum (one rounding less): 1e-3 of the values at most, one level each time.
      await check(
        picture(37, 29, s),
        { width: 37, height: 29 },
        { crop: whole(37, 29), jitter },
        { most: 4, share: 1e-3 },
      );
    });
    await fc.assert(property, { numRuns: 15 });
  });

  it("has Pillow's hue for every combination of two channels", async () => {
    const data = Uint8Array.from({ length: 256 * 256 * 3 }, (_, i) => [(i / 3) & 255, (i / 768) & 255, 40][i % 3] ?? 0);
    const image = { width: 256, height: 256, channels: 3, data } as const;
    await check(
      image,
      { width: 256, height: 256 },
      { crop: whole(256, 256), jitter: [["hue", 0.31]] },
      { most: 1, share: 1e-4 },
    );
  });

  it("is blurred as by Pillow for every standard deviation, across tiles and at the edges", async () => {
    const sizes = fc.record({
      width: side(100),
      height: side(100),
      sigma: fc.double({ min: 0.05, max: 6.4, noNaN: true }),
      seed,
    });
    const property = fc.asyncProperty(sizes, async (s) => {
      await check(
        picture(s.width, s.height, s.seed),
        s,
        { crop: whole(s.width, s.height), sigmaPixels: s.sigma },
        exact,
      );
    });
    await fc.assert(property, { numRuns: 15 });
  });

  it("is turned grey and solarised exactly", async () => {
    const view = { crop: whole(45, 46), greyscale: true, solariseFrom: 77, flip: true };
    await check(picture(45, 46, 5), { width: 45, height: 46 }, view, exact);
  });
});
