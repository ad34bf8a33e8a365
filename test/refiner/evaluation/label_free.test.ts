import { describe, expect, it } from "vitest";
import { vitConfig } from "../../../models/index.ts";
import { imagesInMemory } from "../../../refiner/data/index.ts";
import { RandomViews } from "../../../refiner/evaluation/features/random_views.ts";
import {
  FeatureExtractor,
  labelFreeScores,
  lidar,
  neighbourAgreement,
  rankMe,
} from "../../../refiner/evaluation/index.ts";
import { symmetricEigenvalues } from "../../../refiner/evaluation/label_free/symmetric_eigenvalues.ts";
import { symmetricEigen } from "../../../refiner/evaluation/statistics/symmetric_eigen.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { scatteredRows } from "./scattered_rows.ts";

/** exp of the entropy of shares, with the published floor. */
function rankOf(values: readonly number[]): number {
  const total = values.reduce((a, b) => a + b);
  return Math.exp(-values.reduce((sum, value) => sum + (value / total + 1e-7) * Math.log(value / total + 1e-7), 0));
}

/** Product of a with b, both `[size, size]`. */
function times(a: Float64Array, b: Float64Array, size: number): Float64Array {
  return Float64Array.from(a, (_, at) => {
    const [row, column] = [Math.floor(at / size), at % size];
    let sum = 0;
    for (let k = 0; k < size; k++) sum += (a[row * size + k] ?? 0) * (b[k * size + column] ?? 0);
    return sum;
  });
}

describe("symmetricEigenvalues", () => {
  it.each([1, 2, 3, 7, 40])("are those of Jacobi's rotations for size %i", (size) => {
    const x = scatteredRows(size, size, size).data;
    const a = Float64Array.from(
      { length: size * size },
      (_, at) => (x[at] ?? 0) + (x[(at % size) * size + Math.floor(at / size)] ?? 0),
    );
    const expected = symmetricEigen(a).values;
    const found = symmetricEigenvalues(a.slice(), size).sort((p, q) => q - p);
    found.forEach((value, at) => {
      expect(Math.abs(value - (expected[at] ?? 0))).toBeLessThan(size * 2 ** -48); // of values below 4 size
    });
  });

  it("keep zeros and equal values", () => {
    const a = Float64Array.of(2, 0, 0, 0, 0, 0, 0, 0, 2);
    expect([...symmetricEigenvalues(a, 3)].sort()).toEqual([0, 2, 2]);
  });
});

describe("rankMe", () => {
  it("is the number of equally strong directions", () => {
    const identity = {
      rows: 6,
      columns: 4,
      data: Float64Array.from({ length: 24 }, (_, at) => (at % 5 === 0 && at < 20 ? 3 : 0)),
    };
    expect(rankMe(identity)).toBeCloseTo(4, 4); // the published floor adds 1e-7 to each share
    expect(rankMe({ rows: 3, columns: 2, data: Float64Array.of(1, 2, 2, 4, -3, -6) })).toBeCloseTo(1, 4);
  });

  it("agrees with the reference, of tall and wide features", () => {
    const x = scatteredRows(30, 9, 3);
    const gram = Float64Array.from({ length: 81 }, (_, at) => {
      let sum = 0;
      for (let row = 0; row < 30; row++)
        sum += (x.data[row * 9 + Math.floor(at / 9)] ?? 0) * (x.data[row * 9 + (at % 9)] ?? 0);
      return sum;
    });
    const expected = rankOf([...symmetricEigen(gram).values].map((value) => Math.sqrt(value)));
    expect(rankMe(x)).toBeCloseTo(expected, 9);
    const wide = {
      rows: 9,
      columns: 30,
      data: x.data.map((_, at) => x.data[(at % 30) * 9 + Math.floor(at / 30)] ?? 0),
    };
    expect(rankMe(wide)).toBeCloseTo(expected, 9);
  });

  it("refuses features that have collapsed to zero or are not finite", () => {
    expect(() => rankMe({ rows: 2, columns: 2, data: new Float64Array(4) })).toThrow(/all features are equal/);
    expect(() => rankMe({ rows: 1, columns: 1, data: Float64Array.of(Number.NaN) })).toThrow(/not finite/);
  });
});

describe("lidar", () => {
  const [images, views, columns] = [12, 5, 6];
  const noise = scatteredRows(images * views, columns, 8).data;
  const centres = scatteredRows(images, columns, 9).data;
  const x = {
    rows: images * views,
    columns,
    data: noise.map(
      (value, at) => 0.1 * value + (centres[Math.floor(at / (columns * views)) * columns + (at % columns)] ?? 0),
    ),
  };
  const labels = Array.from({ length: images * views }, (_, row) => Math.floor(row / views));

  it("agrees with the reference, which takes the root of the within-class covariance", () => {
    const means = Array.from({ length: images }, (_, image) =>
      Array.from({ length: columns }, (_, c) => {
        let sum = 0;
        for (let view = 0; view < views; view++) sum += (x.data[(image * views + view) * columns + c] ?? 0) / views;
        return sum;
      }),
    );
    const centre = Array.from(
      { length: columns },
      (_, c) => means.reduce((sum, mean) => sum + (mean[c] ?? 0), 0) / images,
    );
    const covariance = (rows: readonly (readonly number[])[]) =>
      Float64Array.from(
        { length: columns * columns },
        (_, at) =>
          rows.reduce((sum, row) => sum + (row[Math.floor(at / columns)] ?? 0) * (row[at % columns] ?? 0), 0) /
          rows.length,
      );
    const between = covariance(means.map((mean) => mean.map((value, c) => value - (centre[c] ?? 0))));
    const within = covariance(
      labels.map((image, row) =>
        Array.from({ length: columns }, (_, c) => (x.data[row * columns + c] ?? 0) - (means[image]?.[c] ?? 0)),
      ),
    ).map((value, at) => value + (at % (columns + 1) === 0 ? 1e-4 : 0));
    const { values, vectors } = symmetricEigen(within);
    const root = Float64Array.from({ length: columns * columns }, (_, at) => {
      const [i, j] = [Math.floor(at / columns), at % columns];
      let sum = 0;
      for (let k = 0; k < columns; k++)
        sum += ((vectors[i * columns + k] ?? 0) * (vectors[j * columns + k] ?? 0)) / Math.sqrt(values[k] ?? 1);
      return sum;
    });
    const ratios = symmetricEigen(times(times(root, between, columns), root, columns)).values;
    expect(lidar(x, labels)).toBeCloseTo(rankOf([...ratios]), 7);
  });

  it("is lower where images differ along one direction only", () => {
    const narrow = { ...x, data: x.data.map((value, at) => (at % columns === 0 ? value : 0.1 * (noise[at] ?? 0))) };
    expect(lidar(narrow, labels)).toBeLessThan(lidar(x, labels) - 1);
  });

  it("is as high as it can be where nothing tells images apart: it sees how evenly, not how much", () => {
    const many = { rows: 400, columns, data: scatteredRows(400, columns, 10).data };
    const pairs = Array.from({ length: 400 }, (_, row) => Math.floor(row / 2));
    // Chance leaves 1 / views along every direction. Both covariances spread by columns / images = 0.03, which costs half of it, times 6.
    expect(lidar(many, pairs)).toBeGreaterThan(columns - 2 * 0.18);
  });

  it("refuses a single image, or a single view", () => {
    expect(() =>
      lidar(
        x,
        labels.map(() => 0),
      ),
    ).toThrow(/1 images with 60 views/);
    expect(() =>
      lidar(
        x,
        labels.map((_, row) => row),
      ),
    ).toThrow(/60 images with 1 views/);
  });
});

describe("neighbourAgreement", async () => {
  const device = await testDevice();
  const x = scatteredRows(60, 5, 10);

  it("is 1 for equal views, and near chance for unrelated ones", async () => {
    expect(await neighbourAgreement(device, x, x, 5)).toBe(1);
    expect(await neighbourAgreement(device, x, { ...x, data: x.data.map((value) => 3 * value) }, 5)).toBe(1);
    expect(await neighbourAgreement(device, x, scatteredRows(60, 5, 77), 5)).toBeLessThan(0.25); // by chance 5 / 59
  });

  it("agrees with a count on the host", async () => {
    const y = { ...x, data: x.data.map((value, at) => value + 0.4 * (scatteredRows(60, 5, 11).data[at] ?? 0)) };
    const others = (features: typeof x, row: number): number[] => {
      const cosine = (other: number): number => {
        let [product, own, its] = [0, 0, 0];
        for (let c = 0; c < 5; c++) {
          const [a, b] = [features.data[row * 5 + c] ?? 0, features.data[other * 5 + c] ?? 0];
          product += a * b;
          own += a * a;
          its += b * b;
        }
        return product / Math.sqrt(own * its);
      };
      return [...Array(60).keys()]
        .filter((other) => other !== row)
        .sort((a, b) => cosine(b) - cosine(a))
        .slice(0, 5);
    };
    let common = 0;
    for (let row = 0; row < 60; row++) {
      const own = others(x, row);
      common += others(y, row).filter((other) => own.includes(other)).length;
    }
    expect(await neighbourAgreement(device, x, y, 5)).toBeCloseTo(common / 300, 9);
  });

  it("refuses views of other sizes, and too many neighbours", async () => {
    await expect(neighbourAgreement(device, x, scatteredRows(59, 5, 1))).rejects.toThrow(/60 × 5 and 59 × 5/);
    await expect(neighbourAgreement(device, x, x, 60)).rejects.toThrow(/k is 60 for 60 images/);
  });
});

describe("labelFreeScores", () => {
  const sizes = { patchPixels: 4, width: 8, blocks: 2, heads: 2, channels: 1, heightPixels: 8, widthPixels: 8 };
  const images = Array.from({ length: 9 }, (_, i) =>
    Uint8Array.from(scatteredRows(16, 16, i + 1).data, (value) => Math.round(127 * (value + 1))),
  );
  const source = imagesInMemory(images.map((data) => ({ width: 16, height: 16, channels: 1 as const, data })));

  it("are those of the views' features, block by block, however images are grouped", { timeout: 120_000 }, async () => {
    const device = await testDevice();
    const model = randomEncoder(device, vitConfig(sizes));
    const options = { views: 3, neighbours: 2, seed: 5 };
    const found = await labelFreeScores(device, model, source, options);
    expect(found).toMatchObject({ blocks: [0, "last"], images: 9 });
    expect(await labelFreeScores(device, model, source, { ...options, batch: 4 })).toEqual(found);

    const like = new FeatureExtractor(model);
    const random = new RandomViews(model, source, like);
    const loaded = await Promise.all(images.map((_, i) => source.load(i)));
    const places = Uint32Array.from(images.keys());
    const batch = { number: 0, images: loaded, indices: places, labels: new Int32Array(9).fill(-1) };
    const views = [await random.rows(batch, 5, 0), await random.rows(batch, 5, 1), await random.rows(batch, 5, 2)];
    for (const block of [0, 1]) {
      const of = (view: number) => views[view]?.[block] ?? new Float32Array();
      const data = Float32Array.from(
        images.flatMap((_, i) => [0, 1, 2].flatMap((view) => [...of(view).subarray(8 * i, 8 * i + 8)])),
      );
      const x = { rows: 27, columns: 8, data };
      const groups = Array.from({ length: 27 }, (_, row) => Math.floor(row / 3));
      expect(found.rankMe[block]).toBe(rankMe(x));
      expect(found.lidar[block]).toBe(lidar(x, groups));
      const [first, second] = [0, 1].map((view) => ({ rows: 9, columns: 8, data: of(view) }));
      if (first && second)
        expect(found.neighbourAgreement[block]).toBe(await neighbourAgreement(device, first, second, 2));
    }
    random.destroy();
    like.destroy();
  });

  it("look at some images, spread evenly, and refuse too few", { timeout: 60_000 }, async () => {
    const device = await testDevice();
    const model = randomEncoder(device, vitConfig(sizes));
    const seen: number[] = [];
    const watched = {
      ...source,
      label: () => undefined,
      name: (index: number) => source.name(index),
      load: (index: number) => {
        seen.push(index);
        return source.load(index);
      },
    };
    expect((await labelFreeScores(device, model, watched, { images: 3, views: 2 })).images).toBe(3);
    expect(seen.sort()).toEqual([1, 4, 7]);
    await expect(labelFreeScores(device, model, source, { images: 1 })).rejects.toThrow(/1 images could be read/);
    await expect(labelFreeScores(device, model, source, { views: 1 })).rejects.toThrow(/1 views of each image; give 2/);
  });
});
