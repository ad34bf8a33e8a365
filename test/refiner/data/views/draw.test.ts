import { describe, expect, it } from "vitest";
import { OptionError } from "../../../../engine/index.ts";
import {
  checkViewConfig,
  drawViewParameters,
  evaluationParameters,
  evaluationViews,
  pretrainViews,
  randomCrop,
  refineViews,
  smallImageViews,
  viewWords,
} from "../../../../refiner/data/views/index.ts";

const samples = Array.from({ length: 6 }, (_, index) => ({ index: 10 + 7 * index, width: 300 + index, height: 200 }));
const config = refineViews();

/** Row of a table of 12 views. */
function rowOf(table: Uint32Array, batch: number, view: number, image: number): number[] {
  const row = view * batch + image;
  return [...table.subarray(row * viewWords, (row + 1) * viewWords)];
}

describe("drawn parameters", () => {
  it("of an image do not depend on the rest of its micro-batch", () => {
    const all = drawViewParameters(config, { seed: 3, step: 9, samples });
    for (const [image, sample] of samples.entries()) {
      const alone = drawViewParameters(config, { seed: 3, step: 9, samples: [sample] });
      for (let view = 0; view < 12; view++) expect(rowOf(alone, 1, view, 0)).toEqual(rowOf(all, 6, view, image));
    }
  });

  it("differ between views, samples, steps and seeds", () => {
    const rows = new Set<string>();
    for (const [seed, step] of [
      [0, 0],
      [0, 1],
      [1, 0],
      [2 ** 40, 0],
    ] as const) {
      const table = drawViewParameters(config, { seed, step, samples });
      for (let row = 0; row < 72; row++) rows.add(String(table.subarray(row * viewWords, (row + 1) * viewWords)));
    }
    expect(rows.size).toBe(4 * 72);
  });

  it("have the frequencies and ranges of the configuration", () => {
    const many = Array.from({ length: 2000 }, (_, index) => ({ index, width: 500, height: 375 }));
    const table = drawViewParameters(refineViews({ localViews: 1 }), { seed: 1, step: 0, samples: many });
    const share = (view: number, test: (row: number[]) => boolean): number =>
      many.filter((_, image) => test(rowOf(table, 2000, view, image))).length / 2000;
    // 2000 draws of probability p deviate by √(p (1 - p) / 2000) ≤ 0.0112; 4 of those
    const near = (value: number, p: number): void =>
      expect(Math.abs(value - p)).toBeLessThanOrEqual(p % 1 === 0 ? 0 : 0.045);
    for (const [view, blur, solarise] of [
      [0, 1, 0],
      [1, 0.1, 0.2],
      [2, 0.5, 0],
    ] as const) {
      near(
        share(view, (row) => row[19] === 1),
        0.5,
      );
      near(
        share(view, (row) => row[12] !== 0),
        0.8,
      );
      near(
        share(view, (row) => (row[17] ?? 0) > 0),
        blur,
      );
      near(
        share(view, (row) => row[14] === 1),
        0.2,
      );
      near(
        share(view, (row) => row[15] === 128),
        solarise,
      );
    }
    const areas = many.map((_, image) => {
      const [, , width = 0, height = 0] = rowOf(table, 2000, 2, image);
      return (width * height) / (500 * 375);
    });
    expect(Math.min(...areas)).toBeGreaterThan(0.048);
    expect(Math.max(...areas)).toBeLessThan(0.252);
    const mean = areas.reduce((a, b) => a + b, 0) / 2000;
    expect(Math.abs(mean - 0.15)).toBeLessThan(0.006); // uniform on 0.05 … 0.25: deviation 0.058 / √2000, 4 of those
  });

  it("put every crop inside its image and keep to the ratio where it fits", () => {
    for (const [width, height] of [
      [1, 1],
      [1, 50],
      [500, 3],
      [37, 41],
    ] as const) {
      for (let seed = 0; seed < 50; seed++) {
        const [left = 0, top = 0, w = 0, h = 0] = drawViewParameters(pretrainViews(), {
          seed,
          step: 0,
          samples: [{ index: 0, width, height }],
        });
        expect(w).toBeGreaterThan(0);
        expect(h).toBeGreaterThan(0);
        expect(left + w).toBeLessThanOrEqual(width);
        expect(top + h).toBeLessThanOrEqual(height);
      }
    }
  });

  it("fall back to the largest centred crop of an allowed ratio", () => {
    const never = () => [1 - 2 ** -24, 0.5, 0, 0];
    const crop = randomCrop({ width: 400, height: 90 }, [0.9, 1], [3 / 4, 4 / 3], never);
    expect(crop).toEqual({ left: 140, top: 0, width: 120, height: 90 });
    const tall = randomCrop({ width: 90, height: 400 }, [0.9, 1], [3 / 4, 4 / 3], never);
    expect(tall).toEqual({ left: 0, top: 140, width: 90, height: 120 });
  });

  it("of the evaluation resize the shorter side to 256/224 and take the centre", () => {
    const table = evaluationParameters(evaluationViews(224), [
      { width: 500, height: 375 },
      { width: 99, height: 301 },
    ]);
    expect([...table.subarray(0, 8)]).toEqual([0, 0, 500, 375, 341, 256, 58, 16]);
    expect([...table.subarray(viewWords, viewWords + 8)]).toEqual([0, 0, 99, 301, 256, 778, 16, 277]);
  });

  it("of the evaluation resize so that a view that is not square fits into any image", () => {
    const oblong = { ...evaluationViews(224), global: { ...evaluationViews(224).global, heightPixels: 112 } };
    const table = evaluationParameters(oblong, [
      { width: 100, height: 300 },
      { width: 900, height: 300 },
    ]);
    expect([...table.subarray(4, 8)]).toEqual([256, 768, 16, 328]);
    expect([...table.subarray(viewWords + 4, viewWords + 8)]).toEqual([384, 128, 80, 8]);
  });

  it("refuse an evaluation crop larger than the resized image", () => {
    expect(() => evaluationParameters(evaluationViews(224), [{ width: 300, height: 300 }], 200)).toThrow(
      /smaller than the view/,
    );
  });

  it("refuse a sample index that is no whole number", () => {
    const draw = () => drawViewParameters(config, { seed: 0, step: 0, samples: [{ index: -1, width: 9, height: 9 }] });
    expect(draw).toThrow(OptionError);
  });
});

describe("a view configuration", () => {
  it("has 98-pixel local views for patch 14 and whole patches for small images", () => {
    expect(refineViews({ patchPixels: 14 }).local?.widthPixels).toBe(98);
    expect(refineViews().local?.widthPixels).toBe(96);
    expect(smallImageViews(32).local?.widthPixels).toBe(12);
    expect(smallImageViews(28, { channels: 1 }).mean).toHaveLength(1);
  });

  it("names the option that has an impossible value", () => {
    const [view] = config.global.views;
    if (!view) throw new Error("no view");
    const changed = (change: object) => () =>
      checkViewConfig({ ...config, global: { ...config.global, views: [{ ...view, ...change }] } });
    expect(changed({ flip: 1.5 })).toThrow("views: global.views[0].flip is 1.5, expected a number in 0 … 1");
    expect(changed({ area: [0.9, 0.3] })).toThrow(/area is \[0.9, 0.3\]/);
    expect(changed({ blur: { probability: 1, sigmaPixels: [0, 30] } })).toThrow(/blur.sigmaPixels\[1\] is 30/);
    expect(() => checkViewConfig({ ...config, mean: [0.5] })).toThrow(
      /mean has 1 numbers, expected one per channel \(3\)/,
    );
  });
});
