import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Outputs, recordProgram, sum } from "../../../../engine/index.ts";
import { nearestSources } from "../../../../refiner/data/masks/nearest.ts";
import { patchLoss, patchTargets } from "../../../../refiner/evaluation/segmentation/patch_loss.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();

const cases = fc.record({
  images: fc.integer({ min: 1, max: 3 }),
  rows: fc.integer({ min: 1, max: 3 }),
  columns: fc.integer({ min: 1, max: 4 }),
  classes: fc.integer({ min: 2, max: 6 }),
  rates: fc.integer({ min: 1, max: 3 }),
  height: fc.integer({ min: 3, max: 13 }),
  width: fc.integer({ min: 4, max: 13 }),
  seed: fc.integer({ min: 0, max: 1000 }),
  ignoredShare: fc.constantFrom(0, 0.3, 1),
});

describe("patchLoss", () => {
  it("is the mean cross entropy of up-sampled logits over labelled pixels, with its gradient", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ height, width, seed, ignoredShare, ...batch }) => {
        const { images, rows, columns, classes, rates } = batch;
        const noise = (i: number): number => Math.abs(Math.sin(seed + 1.7 * i * i + i)) % 1;
        const labels = Array.from({ length: images }, (_, image) => ({
          height,
          width,
          data: Int32Array.from({ length: height * width }, (_, i) =>
            noise(i + 91 * image) < ignoredShare ? -1 : Math.floor(noise(3 * i + image) * classes) % classes,
          ),
        }));
        const patches = images * rows * columns;
        const z = Float32Array.from({ length: patches * rates * classes }, (_, i) => 4 * noise(i + 5) - 2);
        const program = recordProgram<Outputs>(device, (p) => {
          const logits = p.input("logits", [patches * rates, classes]);
          const perRow = patchLoss(p, batch)(logits);
          const [gradient] = p.gradients(sum(perRow), [logits]);
          return { perRow, ...(gradient ? { gradient } : {}) };
        });
        const targets = patchTargets(labels, batch);
        const found = await (await program.run({ logits: z, ...targets }, ["perRow", "gradient"])).read();
        program.destroy();
        const { losses, gradient } = reference(z, labels, batch);
        for (let rate = 0; rate < rates; rate++) {
          const own = Array.from({ length: patches }, (_, patch) => Number(found.perRow?.[patch * rates + rate]));
          // Sums of up to 36 terms of at most 6, each rounded a few times.
          expect(Math.abs(own.reduce((all, loss) => all + loss, 0) / patches - (losses[rate] ?? 0))).toBeLessThan(5e-6);
        }
        for (const [i, value] of gradient.entries())
          expect(Math.abs(Number(found.gradient?.[i]) / patches - value)).toBeLessThan(2e-6);
      }),
      { numRuns: 20 },
    );
  }, 120_000);

  it("is 0 for a batch without any label, and refuses a label that is no class", () => {
    const batch = { images: 1, rows: 1, columns: 1, classes: 2, rates: 1 };
    const map = (label: number) => ({ width: 1, height: 1, data: Int32Array.of(label) });
    expect(patchTargets([map(-1)], batch)).toEqual({
      targets: Uint32Array.of(0),
      pixels: Float32Array.of(0),
      others: Float32Array.of(0, 0),
    });
    expect(() => patchTargets([map(2)], batch)).toThrow(/label 2 is none of 2 classes/);
  });
});

interface Labels {
  readonly height: number;
  readonly width: number;
  readonly data: Int32Array;
}

/** Pixel by pixel. */
function reference(
  z: Float32Array,
  labels: readonly Labels[],
  { rows, columns, classes, rates }: { rows: number; columns: number; classes: number; rates: number },
) {
  const losses = new Float64Array(rates);
  const gradient = new Float64Array(z.length);
  const pixels = labels.flatMap(({ height, width, data }, image) => {
    const [down, across] = [nearestSources(height, rows), nearestSources(width, columns)];
    return [...data].map((label, pixel) => ({
      label,
      patch: (image * rows + (down[Math.floor(pixel / width)] ?? 0)) * columns + (across[pixel % width] ?? 0),
    }));
  });
  const labelled = pixels.filter(({ label }) => label >= 0);
  for (const { label, patch } of labelled)
    for (let rate = 0; rate < rates; rate++) {
      const from = (patch * rates + rate) * classes;
      const own = [...z.subarray(from, from + classes)];
      const total = own.reduce((all, value) => all + Math.exp(value), 0);
      losses[rate] = (losses[rate] ?? 0) + (Math.log(total) - (own[label] ?? 0)) / labelled.length;
      own.forEach((value, c) => {
        const difference = Math.exp(value) / total - (c === label ? 1 : 0);
        gradient[from + c] = (gradient[from + c] ?? 0) + difference / labelled.length;
      });
    }
  return { losses, gradient };
}
