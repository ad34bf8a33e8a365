import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RandomStream } from "../../../refiner/data/batches/shuffle_random.ts";
import { colourMap, componentScores, principalComponents } from "../../../refiner/evaluation/index.ts";
import { symmetricEigen } from "../../../refiner/evaluation/statistics/symmetric_eigen.ts";

// Rows with variance scales[c]² along axis c, moved by 5.
function cloud(rows: number, scales: readonly number[]) {
  const random = new RandomStream(1, "k-means");
  const columns = scales.length;
  const data = Float64Array.from(
    { length: rows * columns },
    (_, at) => 5 + random.normal() * (scales[at % columns] ?? 0),
  );
  return { rows, columns, data };
}

function covariance({ rows, columns, data }: ReturnType<typeof cloud>): Float64Array {
  const mean = Array.from(
    { length: columns },
    (_, c) => data.filter((_value, at) => at % columns === c).reduce((a, b) => a + b) / rows,
  );
  return Float64Array.from({ length: columns * columns }, (_, at) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      const centred = (c: number) => (data[row * columns + c] ?? 0) - (mean[c] ?? 0);
      sum += centred(Math.floor(at / columns)) * centred(at % columns);
    }
    return sum / (rows - 1);
  });
}

describe("principalComponents", () => {
  const x = cloud(200, [1, 4, 2, 0.5, 3, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8]);

  it("agrees with the eigenvectors of the covariance", () => {
    const { values, vectors } = symmetricEigen(covariance(x));
    const found = principalComponents(x, 3);
    for (let component = 0; component < 3; component++) {
      expect((found.variances[component] ?? 0) / (values[component] ?? 1)).toBeCloseTo(1, 10);
      let cosine = 0;
      for (let c = 0; c < 12; c++) {
        cosine += (found.components.data[component * 12 + c] ?? 0) * (vectors[c * 12 + component] ?? 0);
      }
      // Variances converge as the square of the directions: 1e-12 there leaves about 1e-12 in the cosine.
      expect(Math.abs(cosine)).toBeCloseTo(1, 10);
    }
  });

  it("gives scores of the stated variances", () => {
    const found = principalComponents(x, 3);
    const scores = componentScores(x, found);
    for (let component = 0; component < 3; component++) {
      let squares = 0;
      for (let row = 0; row < x.rows; row++) squares += (scores.data[row * 3 + component] ?? 0) ** 2;
      expect(squares / (x.rows - 1)).toBeCloseTo(found.variances[component] ?? 0, 8);
    }
  });

  it("points each component towards its largest entry", () => {
    const { components } = principalComponents(x, 3);
    for (let component = 0; component < 3; component++) {
      const entries = [...components.data.subarray(component * 12, component * 12 + 12)];
      expect(Math.max(...entries)).toBe(Math.max(...entries.map(Math.abs)));
    }
  });

  it("finds no variance beyond what the rows have", () => {
    const line = { rows: 4, columns: 3, data: Float64Array.of(0, 0, 0, 1, 2, 2, 2, 4, 4, 3, 6, 6) };
    const { variances } = principalComponents(line, 3);
    // Places 0, 3, 6, 9 along (1, 2, 2)/3: variance 15.
    expect(variances[0]).toBeCloseTo(15, 10);
    expect(Math.max(Math.abs(variances[1] ?? 1), Math.abs(variances[2] ?? 1))).toBeLessThan(1e-12);
  });

  it("refuses more components than columns", () => {
    expect(() => principalComponents(x, 13)).toThrow(/13 components of 200 × 12 values/);
  });
});

describe("symmetricEigen", () => {
  it("rebuilds the matrix from its values and vectors", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.nat(), (size, seed) => {
        const random = new RandomStream(seed, "k-means");
        const half = Float64Array.from({ length: size * size }, () => random.normal());
        const matrix = half.map((value, at) => value + (half[(at % size) * size + Math.floor(at / size)] ?? 0));
        const { values, vectors } = symmetricEigen(matrix);
        matrix.forEach((expected, at) => {
          let sum = 0;
          for (let k = 0; k < size; k++) {
            sum +=
              (values[k] ?? 0) *
              (vectors[Math.floor(at / size) * size + k] ?? 0) *
              (vectors[(at % size) * size + k] ?? 0);
          }
          // Backward stable: a few hundred roundings of values below 20.
          expect(Math.abs(sum - expected)).toBeLessThan(1e-12);
        });
      }),
      { numRuns: 100 },
    );
  });
});

describe("colourMap", () => {
  it("stretches each score over the whole range", () => {
    const colours = colourMap({ rows: 3, columns: 3, data: Float64Array.of(0, 5, 9, 1, 5, 7, 2, 5, 5) });
    expect([...colours]).toEqual([0, 128, 255, 128, 128, 128, 255, 128, 0]);
  });

  it("does not let an outlier take the contrast", () => {
    const data = new Float64Array(600).map((_, at) => (at < 3 ? 1e6 : Math.floor(at / 3) % 100));
    expect(colourMap({ rows: 200, columns: 3, data })[3 * 199]).toBe(255);
  });
});
