import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IndexError, OptionError, recordProgram } from "../../../../engine/index.ts";
import { checkOperation, oddLength, roundOff, valuesOf } from "../../../../engine/testing/index.ts";
import { mixImages, softTargets } from "../../../../refiner/data/augmentation/mix_batch.ts";
import {
  cutmixOf,
  drawMixing,
  type Mixing,
  mixingValues,
  mixupOf,
  noMixing,
} from "../../../../refiner/data/augmentation/mixing.ts";
import { testDevice } from "../../../device.ts";
import { operand } from "../../../operand.ts";

const device = await testDevice({ canaries: true });
const size = [9, 12] as const;

const mixings: fc.Arbitrary<Mixing> = fc.oneof(
  fc.constant(noMixing),
  fc.double({ min: 0, max: 1, noNaN: true }).map(mixupOf),
  fc
    .record({
      lambda: fc.double({ min: 0, max: 1, noNaN: true }),
      centreRow: fc.integer({ min: 0, max: 8 }),
      centreColumn: fc.integer({ min: 0, max: 11 }),
    })
    .map((draw) => cutmixOf(draw, size)),
);

describe("mixed images", () => {
  const drawn = fc.record({
    images: fc.constantFrom(1, 2, 5, 6),
    channels: fc.constantFrom(1, 3),
    width: fc.constantFrom(12, 11),
    mixing: mixings,
    seed: fc.integer(),
  });

  it("are blends with the partner, or show it in the box", async () => {
    await checkOperation(device, {
      cases: drawn,
      operands: ({ images, channels, width, mixing, seed }) => ({
        x: {
          data: valuesOf("normal", seed, images * channels * 9 * width),
          shape: [images, channels, 9, width],
        },
        mixing: { data: mixingValues(mixing), shape: [6] },
      }),
      run: (given) => ({ y: mixImages(operand(given, "x"), operand(given, "mixing")) }),
      reference: ({ x = new Float64Array() }, { images, channels, width, mixing }) => {
        const [top, left, bottom, right] = mixing.box;
        const blend = mixing.mode === "mixup" ? mixing.lambda : 1;
        const plane = channels * 9 * width;
        const y = x.map((value, i) => {
          const image = Math.floor(i / plane);
          const [row, column] = [Math.floor(i / width) % 9, i % width];
          const partner = x[(images - 1 - image) * plane + (i % plane)] ?? Number.NaN;
          const isInside = row >= top && row < bottom && column >= left && column < right;
          return isInside ? partner : blend * value + (1 - blend) * partner;
        });
        return { y };
      },
      bound: () => 4 * roundOff, // two products, a sum, and 1 - λ
      runs: 40,
    });
  });

  it("are the images themselves, bit by bit, where nothing is mixed", async () => {
    const x = device.tensor(valuesOf("normal", 3, 4 * 3 * 8 * 8), [4, 3, 8, 8]);
    expect(await mixImages(x, device.tensor(mixingValues(noMixing), [6])).read()).toEqual(await x.read());
  });
});

describe("soft targets", () => {
  const drawn = fc.record({
    rows: oddLength(9),
    classes: oddLength(37),
    labelSmoothing: fc.constantFrom(0, 0.1, 1),
    mixing: mixings,
    seed: fc.integer(),
  });

  it("are smoothed labels, shared with the partner's", async () => {
    await checkOperation(device, {
      cases: drawn,
      operands: ({ rows, classes, mixing, seed }) => ({
        labels: {
          data: Uint32Array.from({ length: rows }, (_, row) => ((row * 7919 + seed) >>> 0) % classes),
          shape: [rows],
          dtype: "u32" as const,
        },
        mixing: { data: mixingValues(mixing), shape: [6] },
      }),
      run: (given, options) => ({ targets: softTargets(operand(given, "labels"), operand(given, "mixing"), options) }),
      reference: ({ labels = new Float64Array() }, { rows, classes, labelSmoothing, mixing: { lambda } }) => {
        const target = (row: number, label: number): number =>
          (labels[row] === label ? 1 - labelSmoothing : 0) + labelSmoothing / classes;
        const targets = Float64Array.from({ length: rows * classes }, (_, i) => {
          const [row, label] = [Math.floor(i / classes), i % classes];
          return lambda * target(row, label) + (1 - lambda) * target(rows - 1 - row, label);
        });
        return { targets };
      },
      bound: () => 6 * roundOff,
    });
  });

  it("report a label outside the classes", async () => {
    const recorded = recordProgram(device, (p) => ({
      y: softTargets(p.input("labels", [2], "u32"), p.input("mixing", [6]), { classes: 3, labelSmoothing: 0.1 }),
    }));
    const inputs = { labels: Uint32Array.of(0, 3), mixing: mixingValues(noMixing) };
    const readback = await recorded.run(inputs, ["y"]);
    await expect(readback.read()).rejects.toThrow(IndexError);
    recorded.destroy();
  });
});

describe("the decision for a batch", () => {
  const draws = (options: { mixupAlpha: number; cutmixAlpha: number }, count = 4000): Mixing[] =>
    Array.from({ length: count }, (_, step) => drawMixing(options, [32, 32], { seed: 7, step }));

  it("depends on seed and update only", () => {
    const options = { mixupAlpha: 0.8, cutmixAlpha: 1 };
    expect(draws(options, 20)).toEqual(draws(options, 20));
    expect(drawMixing(options, [32, 32], { seed: 8, step: 0 })).not.toEqual(draws(options, 1)[0]);
  });

  it("is CutMix for half of the batches where both are on, else the one that is on", () => {
    const modes = (options: { mixupAlpha: number; cutmixAlpha: number }) => draws(options).map(({ mode }) => mode);
    const cut = modes({ mixupAlpha: 0.8, cutmixAlpha: 1 }).filter((mode) => mode === "cutmix").length;
    expect(Math.abs(cut / 4000 - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / 4000)); // five standard deviations
    expect(new Set(modes({ mixupAlpha: 0.8, cutmixAlpha: 0 }))).toEqual(new Set(["mixup"]));
    expect(new Set(modes({ mixupAlpha: 0, cutmixAlpha: 1 }))).toEqual(new Set(["cutmix"]));
    expect(new Set(modes({ mixupAlpha: 0, cutmixAlpha: 0 }))).toEqual(new Set(["none"]));
  });

  it.each([0.2, 0.8, 1, 3])("draws λ of mixup from Beta(α, α), α %f", (alpha) => {
    const lambdas = draws({ mixupAlpha: alpha, cutmixAlpha: 0 }).map(({ lambda }) => lambda);
    const mean = lambdas.reduce((sum, value) => sum + value, 0) / lambdas.length;
    const variance = lambdas.reduce((sum, value) => sum + (value - mean) ** 2, 0) / lambdas.length;
    const expected = 1 / (4 * (2 * alpha + 1));
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(expected / lambdas.length));
    // The fourth central moment is at most that of the two ends, 1/16: a bound on the variance of the variance.
    expect(Math.abs(variance - expected)).toBeLessThan(5 * Math.sqrt(1 / 16 / lambdas.length));
    expect(lambdas.every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  it("has a λ of CutMix that is the area outside the box", () => {
    for (const { lambda, box } of draws({ mixupAlpha: 0, cutmixAlpha: 1 }, 200)) {
      const [top, left, bottom, right] = box;
      expect(lambda).toBe(Math.fround(1 - ((bottom - top) * (right - left)) / 1024));
      expect(top >= 0 && left >= 0 && bottom <= 32 && right <= 32 && top <= bottom && left <= right).toBe(true);
    }
  });

  it("refuses a negative alpha", () => {
    expect(() => draws({ mixupAlpha: -1, cutmixAlpha: 0 }, 1)).toThrow(OptionError);
    expect(() => draws({ mixupAlpha: 1, cutmixAlpha: Number.NaN }, 1)).toThrow(OptionError);
  });
});
