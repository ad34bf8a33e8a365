import { describe, expect, it } from "vitest";
import { recordProgram } from "../../../../engine/index.ts";
import {
  drawErasures,
  type Erasure,
  eraseImages,
  erasingNoise,
  erasureWords,
  plainView,
  publishedErasing,
  viewDefaults,
  writeErasure,
} from "../../../../refiner/data/views/index.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const shape = [3, 2, 20, 30];
const size = 2 * 20 * 30;
const box = { left: 5, top: 3, width: 11, height: 7 };
const erasure = (changes: Partial<Erasure> = {}): Erasure => ({
  box,
  noise: "perValue",
  seed: 7,
  step: 2,
  sample: 4,
  ...changes,
});

/** Images of the number 9 with the erasures of a table; images without one stay as they are. */
async function erased(erasures: readonly (Erasure | undefined)[], of = shape): Promise<Float32Array> {
  const table = new Uint32Array((of[0] ?? 1) * erasureWords);
  erasures.forEach((one, row) => {
    if (one) writeErasure(table, row, one);
  });
  const recorded = recordProgram(device, (p) => {
    const rows = p.input("table", [of[0] ?? 1, erasureWords], "u32");
    const images = p.input("images", of);
    return { y: eraseImages(p, images, rows, erasingNoise(p, of, rows)) };
  });
  const images = new Float32Array(of.reduce((product, length) => product * length, 1)).fill(9);
  const { y } = await (await recorded.run({ images, table }, ["y"])).read();
  recorded.destroy();
  return Float32Array.from(y);
}

/** Channel, row and column of an element of one image. */
const isInside = (i: number): boolean => {
  const [row, column] = [Math.floor(i / 30) % 20, i % 30];
  return row >= 3 && row < 10 && column >= 5 && column < 16;
};

describe("random erasing", () => {
  it("changes the box of its image alone, by numbers of each form", async () => {
    const y = await erased([undefined, erasure(), erasure({ noise: "perChannel" })]);
    const images = [0, 1, 2].map((image) => y.slice(image * size, (image + 1) * size));
    const inside = images.map((image) => Array.from(image).filter((_, i) => isInside(i)));
    expect(images[0]?.every((value) => value === 9)).toBe(true);
    for (const image of images) expect(Array.from(image).filter((value, i) => value !== 9 && !isInside(i))).toEqual([]);
    expect(new Set(inside[1]).size).toBe(2 * 7 * 11);
    expect(new Set(inside[2]).size).toBe(2);
    expect([
      ...new Set((await erased([erasure({ noise: "zero" })], [1, 2, 20, 30])).filter((_, i) => isInside(i))),
    ]).toEqual([0]);
  });

  it("draws standard normal numbers", async () => {
    const all = { left: 0, top: 0, width: 299, height: 299 };
    const y = await erased([erasure({ box: all })], [1, 1, 300, 300]);
    const noise = y.filter((value) => value !== 9);
    const mean = noise.reduce((sum, value) => sum + value, 0) / noise.length;
    const square = noise.reduce((sum, value) => sum + value * value, 0) / noise.length;
    expect(noise.length).toBe(299 * 299);
    expect(Math.abs(mean)).toBeLessThan(4 / 299); // four standard deviations
    expect(Math.abs(square - 1)).toBeLessThan((4 * Math.SQRT2) / 299);
  });

  it("depends on seed, step and sample, not on the place in the batch", async () => {
    const first = await erased([erasure(), erasure({ sample: 5 }), erasure({ step: 3 })]);
    const [one, two, three] = [0, 1, 2].map((image) => first.slice(image * size, (image + 1) * size));
    const moved = await erased([erasure({ seed: 8 }), erasure({ sample: 5 }), erasure()]);
    expect(moved.slice(2 * size)).toEqual(one);
    expect(moved.slice(size, 2 * size)).toEqual(two);
    expect([two, three, moved.slice(0, size)]).not.toContainEqual(one);
  });

  it("is drawn for a quarter of the images, smaller than the image on both sides", () => {
    const samples = Array.from({ length: 4000 }, (_, index) => ({ width: 40, height: 40, index }));
    const views = [{ ...plainView, erase: publishedErasing }];
    const config = { ...viewDefaults(3), global: { heightPixels: 32, widthPixels: 32, views } };
    const table = drawErasures(config, { seed: 1, step: 0, samples });
    const boxes = samples.map((_, row) => table.slice(row * erasureWords, row * erasureWords + 4));
    const drawn = boxes.filter(([, , height]) => (height ?? 0) > 0);
    expect(Math.abs(drawn.length - 1000)).toBeLessThan(4 * Math.sqrt(750));
    for (const [top = 0, left = 0, height = 0, width = 0] of drawn) {
      expect([height < 32, width < 32, top + height <= 32, left + width <= 32]).toEqual([true, true, true, true]);
      // Rounded sides change a small area by up to a third.
      expect((height * width) / 1024).toBeGreaterThan(0.013);
      expect((height * width) / 1024).toBeLessThan(0.36);
    }
  });
});
