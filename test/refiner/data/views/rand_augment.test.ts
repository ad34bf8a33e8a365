import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Device, NoAdapterError, openDevice, recordProgram } from "../../../../engine/index.ts";
import { augmentViews } from "../../../../refiner/data/views/augment_views.ts";
import {
  type AugmentStep,
  augmentAmount,
  augmentOperations,
  augmentWords,
  drawAugmentSteps,
  plainView,
  publishedErasing,
  publishedRandAugment,
  type ViewConfig,
  viewDefaults,
  writeAugmentStep,
} from "../../../../refiner/data/views/index.ts";
import { ViewInputs } from "../../../../refiner/data/views/view_inputs.ts";
import { testDevice } from "../../../device.ts";
import { augmentReference } from "../../../reference/rand_augment.ts";
import type { Picture } from "../../../reference/views.ts";
import { picture } from "./render.ts";

const device = await testDevice();
const fill = [124, 116, 104] as const;

/** The steps of each image on a device. */
async function augmented(
  images: readonly Picture[],
  steps: readonly (readonly AugmentStep[])[],
  on: Device = device,
): Promise<Uint8Array[]> {
  const [{ width, height } = { width: 1, height: 1 }] = images;
  const places = Math.max(...steps.map(({ length }) => length));
  const drawn = new Uint32Array(images.length * places * augmentWords);
  steps.forEach((list, row) => {
    const words = drawn.subarray(row * places * augmentWords, (row + 1) * places * augmentWords);
    list.forEach((step, place) => {
      writeAugmentStep(words, place, step, { width, height });
    });
  });
  const group = { heightPixels: height, widthPixels: width, batch: images.length, views: 1, firstRow: 0 };
  const shape = [images.length, height, width];
  const recorded = recordProgram(on, (p) => {
    const rows = p.input("drawn", [images.length, places, augmentWords], "u32");
    return { y: augmentViews(p, p.input("pixels", shape, "u32"), rows, group) };
  });
  const pixels = images.flatMap(({ data }) =>
    Array.from({ length: width * height }, (_, i) => {
      const [r = 0, g = 0, b = 0] = data.slice(3 * i, 3 * i + 3);
      return r | (g << 8) | (b << 16);
    }),
  );
  const { y } = await (await recorded.run({ pixels: Uint32Array.from(pixels), drawn }, ["y"])).read();
  recorded.destroy();
  const bytes = Uint8Array.from({ length: 3 * y.length }, (_, i) => (y[Math.floor(i / 3)] ?? 0) >>> (8 * (i % 3)));
  return images.map((_, i) => bytes.slice(i * 3 * width * height, (i + 1) * 3 * width * height));
}

function referenceOf(image: Picture, steps: readonly AugmentStep[]): Uint8Array {
  let now = image;
  for (const step of steps) now = augmentReference(now, augmentAmount(step, image), step.fill ?? [0, 0, 0]);
  return Uint8Array.from(now.data);
}

const stepOf = (operation: AugmentStep["operation"], magnitude: number, isNegative = false): AugmentStep => ({
  operation,
  magnitude,
  isNegative,
  fill,
});
/** Also few values, and flat parts: borders of truncation. */
function anyPicture(width: number, height: number, seed: number): Picture {
  const image = picture(width, height, seed);
  if (seed % 3 === 1) return { ...image, data: image.data.map((value) => (value >> 6) << 6) };
  if (seed % 3 === 2) return { ...image, data: image.data.map((value) => 100 + (value >> 4)) };
  return image;
}

describe("an operation of RandAugment", () => {
  it.each(augmentOperations)("gives the bytes of Pillow at any size and magnitude: %s", async (operation) => {
    const side = fc.integer({ min: 1, max: 40 });
    const magnitude = fc.oneof(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 0, max: 20 }).map((n) => n / 20),
    );
    const property = fc.asyncProperty(
      side,
      side,
      fc.nat(1000),
      magnitude,
      fc.boolean(),
      async (w, h, seed, m, negative) => {
        const image = anyPicture(w, h, seed);
        const steps = [stepOf(operation, m, negative)];
        const [bytes] = await augmented([image], [steps]);
        expect(bytes).toEqual(referenceOf(image, steps));
      },
    );
    await fc.assert(property, { numRuns: 12 });
  });

  it("follows another one, for every image of a batch its own", async () => {
    const images = [1, 2, 3, 4].map((seed) => anyPicture(31, 23, seed));
    const steps = images.map((_, i) => [
      stepOf(augmentOperations[(4 * i) % 15] ?? "invert", 0.9, i % 2 === 0),
      stepOf(augmentOperations[(4 * i + 7) % 15] ?? "invert", 0.85),
    ]);
    const found = await augmented(images, steps);
    images.forEach((image, i) => {
      expect(found[i]).toEqual(referenceOf(image, steps[i] ?? []));
    });
  });

  // It copies functions to every call: sixty places of soft doubles took it more than 280 s.
  it("gives the same bytes on SwiftShader, which compiles it within the time of a test", async (context) => {
    const notice = (): void => undefined;
    const swiftShader = await openDevice({ adapter: "swiftshader", notice }).catch((error: unknown) => {
      if (error instanceof NoAdapterError) return context.skip();
      throw error;
    });
    try {
      const images = augmentOperations.map((_, seed) => anyPicture(29, 17, seed));
      const steps = augmentOperations.map((operation) => [stepOf(operation, 0.7)]);
      const found = await augmented(images, steps, swiftShader);
      expect(found).toEqual(images.map((image, i) => referenceOf(image, steps[i] ?? [])));
    } finally {
      swiftShader.close();
    }
  });

  it("refuses a magnitude outside 0 … 1", () => {
    expect(() => augmentAmount(stepOf("rotate", 1.5), { width: 8, height: 8 })).toThrow(
      "rotate is 1.5, expected 0 … 1",
    );
  });
});

describe("draws of RandAugment", () => {
  const view = { ...plainView, randAugment: publishedRandAugment, erase: publishedErasing };
  const config: ViewConfig = {
    ...viewDefaults(3),
    global: { heightPixels: 32, widthPixels: 32, views: [view] },
  };
  const samples = Array.from({ length: 3000 }, (_, index) => ({ width: 40, height: 40, index }));

  it("carry out half of the operations, each as often as the others", () => {
    const table = drawAugmentSteps(config, { seed: 3, step: 1, samples });
    expect(table).toHaveLength(3000 * 2 * augmentWords);
    const codes = Array.from({ length: 6000 }, (_, i) => table[i * augmentWords] ?? 0);
    const count = (code: number): number => codes.filter((other) => other === code).length;
    expect(Math.abs(count(0) - 3000)).toBeLessThan(4 * Math.sqrt(1500)); // four standard deviations
    expect(Math.abs(count(11) - 1000)).toBeLessThan(4 * Math.sqrt(6000 / 6)); // five of fifteen are affine
    for (let code = 1; code <= 10; code++) expect(Math.abs(count(code) - 200)).toBeLessThan(4 * Math.sqrt(200));
  });

  it("depend on the image's own number, not on the images beside it", () => {
    const all = drawAugmentSteps(config, { seed: 3, step: 1, samples: samples.slice(0, 9) });
    const some = drawAugmentSteps(config, { seed: 3, step: 1, samples: samples.slice(4, 6) });
    expect(all.slice(4 * 2 * augmentWords, 6 * 2 * augmentWords)).toEqual(some);
    expect(drawAugmentSteps(config, { seed: 3, step: 2, samples: samples.slice(4, 6) })).not.toEqual(some);
  });

  it("fill with grey where images have no colour", () => {
    const table = drawAugmentSteps({ ...config, ...viewDefaults(1) }, { seed: 3, step: 1, samples });
    const fills = Array.from({ length: 6000 }, (_, i) => i * augmentWords)
      .filter((at) => table[at] === 11)
      .map((at) => table[at + 2]);
    expect([...new Set(fills)]).toEqual([0x757575]); // (19595 · 124 + 38470 · 116 + 7471 · 104 + 2¹⁵) >> 16 = 117
  });

  it("need two launches an operation, and none where nothing is augmented", () => {
    const launches = (changes: object): number => {
      const view = { ...plainView, ...changes };
      const inputs = new ViewInputs({ ...config, global: { ...config.global, views: [view] } }, 2, 2 * 32 * 32 * 3);
      const recorded = recordProgram(device, (p) => ({ y: inputs.record(p)[0] ?? p.input("none", [1]) }));
      const { dispatches } = recorded.stats;
      recorded.destroy();
      return dispatches;
    };
    const plain = launches({});
    expect(launches({ randAugment: publishedRandAugment })).toBe(plain + 4);
    expect(launches({ erase: config.global.views[0]?.erase })).toBe(plain + 2);
  });
});
