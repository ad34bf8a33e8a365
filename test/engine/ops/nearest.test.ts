import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { OptionError, recordProgram, rows, ShapeError, type Tensor } from "../../../engine/index.ts";
import { type NearestOptions, nearest, nearestInParts } from "../../../engine/ops/nearest.ts";
import { nearestVariants } from "../../../engine/ops/nearest_kernels.ts";
import { oddLength, randomSource, roundOff, valueKind, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { largestReference, type NearestReference, similarityReference } from "../../reference/nearest.ts";

const device = await testDevice({ canaries: true });
afterEach(() => device.tuning.force("nearest", undefined));

const drawn = fc
  .record({
    queries: oddLength(67),
    rows: oddLength(257).chain((n) => fc.constantFrom(n, n + 512)),
    columns: oddLength(65),
    wantedK: fc.constantFrom(1, 2, 5, 20, 31, 256),
    kind: valueKind,
    seed: fc.integer(),
    cosine: fc.boolean(),
    excludes: fc.boolean(),
    keepsClass: fc.boolean(),
    excludedSimilarity: fc.constantFrom(undefined, -1, 0),
    partRows: fc.constantFrom(64, 192, 1024),
  })
  .map((one) => ({ ...one, k: Math.min(one.wantedK, one.rows) }));
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

/** Host values of a case; integers where `exact`, so that every dot product is exact in f32 and ties are common. */
function hostValues({ queries, rows, columns, kind, seed }: Drawn, exact: boolean) {
  const random = randomSource(seed);
  const small = (): number => Math.floor(5 * random()) - 2;
  const values = (count: number, salt: number): Float32Array =>
    exact ? Float32Array.from({ length: count }, small) : valuesOf(kind, seed + salt, count);
  const ids = (count: number, from: number): Int32Array =>
    Int32Array.from({ length: count }, () => from + Math.floor(4 * random()));
  return {
    x: values(queries * columns, 1),
    bank: values(rows * columns, 2),
    queryIds: ids(queries, 0),
    bankIds: ids(rows, -1), // -1 belongs to no query
    queryClasses: ids(queries % 2 === 0 ? queries / 2 : queries, 0), // repeats, as for two views
    bankClasses: ids(rows, 0),
  };
}

function referenceOf(one: Drawn, host: ReturnType<typeof hostValues>): NearestReference {
  return {
    ...one,
    excludedSimilarity: Math.fround(one.excludedSimilarity ?? -3.4e38),
    ...(one.excludes ? { queryIds: host.queryIds, bankIds: host.bankIds } : {}),
    ...(one.keepsClass ? { queryClasses: host.queryClasses, bankClasses: host.bankClasses } : {}),
  };
}

function deviceOptions(one: Drawn, host: ReturnType<typeof hostValues>): NearestOptions {
  const ids = (values: Int32Array): Tensor => device.tensor(values, [values.length], "i32");
  return {
    k: one.k,
    metric: one.cosine ? "cosine" : "dot",
    ...(one.excludedSimilarity === undefined ? {} : { excludedSimilarity: one.excludedSimilarity }),
    ...(one.excludes ? { exclude: { queryIds: ids(host.queryIds), bankIds: ids(host.bankIds) } } : {}),
    ...(one.keepsClass
      ? { sameClass: { queryClasses: ids(host.queryClasses), bankClasses: ids(host.bankClasses) } }
      : {}),
  };
}

async function found(one: Drawn, host: ReturnType<typeof hostValues>, variant: (typeof nearestVariants)[number]) {
  const recorded = recordProgram(device, (program) => {
    const x = program.input("x", [one.queries, one.columns]);
    const bank = program.input("bank", [one.rows, one.columns]);
    const { similarities, indices } = nearestInParts(
      x,
      bank,
      deviceOptions(one, host),
      variant,
      Math.min(one.partRows, one.rows),
    );
    return { similarities, indices };
  });
  const values = await (await recorded.run({ x: host.x, bank: host.bank }, ["similarities", "indices"])).read();
  recorded.destroy();
  return { similarities: [...values.similarities], indices: [...values.indices] };
}

describe.each(nearestVariants)("$name", (variant) => {
  const reason = variant.unsupported(device);
  if (reason !== undefined) it.skip(`cannot run: ${reason}`, () => undefined);
  else {
    it("finds exactly the neighbours of a full sort, ties included, where products are exact", async () => {
      await fc.assert(
        fc.asyncProperty(drawn, async (given) => {
          const one = { ...given, cosine: false };
          const host = hostValues(one, true);
          const expected = similarityReference(host.x, host.bank, referenceOf(one, host));
          const { similarities, indices } = await found(one, host, variant);
          for (let q = 0; q < one.queries; q++) {
            const row = expected.subarray(q * one.rows, (q + 1) * one.rows);
            const best = largestReference(row, one.k);
            expect(indices.slice(q * one.k, (q + 1) * one.k)).toEqual(best);
            expect(similarities.slice(q * one.k, (q + 1) * one.k).map((v) => v + 0)).toEqual(
              best.map((i) => (row[i] ?? 0) + 0),
            );
          }
        }),
        { numRuns: 30 },
      );
    });

    it("gives similarities within rounding and misses no better row", async () => {
      await fc.assert(
        fc.asyncProperty(drawn, async (one) => {
          const host = hostValues(one, false);
          const expected = similarityReference(host.x, host.bank, referenceOf(one, host));
          const { similarities, indices } = await found(one, host, variant);
          // A sum of n products errs by n roundings of Σ|a b| <= |a| |b|; each length by n/2 + 2, then two divisions and products.
          const length = one.cosine
            ? 1
            : Math.max(rowLength(host.x, one), 1e-6) * Math.max(rowLength(host.bank, one), 1e-6);
          const tolerance = (2 * one.columns + 10) * roundOff * length + 1e-30; // products of tiny numbers may vanish
          for (let q = 0; q < one.queries; q++) {
            const row = expected.subarray(q * one.rows, (q + 1) * one.rows);
            const places = indices.slice(q * one.k, (q + 1) * one.k);
            const values = similarities.slice(q * one.k, (q + 1) * one.k);
            expect(new Set(places).size).toBe(one.k);
            const best = largestReference(row, one.k);
            values.forEach((value, j) => {
              expect(Math.abs(value - (row[places[j] ?? 0] ?? Number.NaN))).toBeLessThanOrEqual(tolerance);
              expect(Math.abs(value - (row[best[j] ?? 0] ?? Number.NaN))).toBeLessThanOrEqual(tolerance);
              if (j > 0) expect(value).toBeLessThanOrEqual(values[j - 1] ?? 0);
            });
          }
        }),
        { numRuns: 20 },
      );
    });
  }
});

function rowLength(values: Float32Array, { columns }: Drawn): number {
  let longest = 0;
  for (let first = 0; first < values.length; first += columns) {
    longest = Math.max(longest, Math.hypot(...values.subarray(first, first + columns)));
  }
  return longest;
}

const wideColumns = 1024;
const bindingRows = Math.floor(device.limits.maxStorageBufferBindingSize / (4 * wideColumns));
// Where a binding holds more than 256 MiB, the parts of the properties above stand for this one.
it.skipIf(bindingRows > 65536)(
  "finds rows on both sides of the end of a binding",
  async () => {
    const [columns, limit] = [wideColumns, bindingRows];
    const count = limit + 100;
    const bank = device.zeros([count, columns], "f32", "large bank");
    const planted = [3, limit - 1, limit, limit + 99];
    for (const [i, row] of planted.entries()) {
      const values = new Float32Array(columns);
      values[0] = 1;
      values[1] = i / 8; // the further from 0, the less similar
      device.write(rows(bank, row, row + 1), values);
    }
    const query = new Float32Array(columns);
    query[0] = 2;
    const y = nearest(device.tensor(query, [1, columns]), bank, { k: 5 });
    expect([...(await y.indices.read())]).toEqual([...planted, 0]);
    const cosines = planted.map((_, i) => 1 / Math.hypot(1, i / 8));
    (await y.similarities.read()).forEach((value, i) => {
      expect(Math.abs(value - (cosines[i] ?? 0))).toBeLessThan(8 * roundOff); // two lengths, two scalings, exact sums
    });
    bank.destroy();
  },
  120_000,
);

it("treats rows of zeros as similar to nothing", async () => {
  const y = nearest(device.tensor([0, 0], [1, 2]), device.tensor([1, 0, 0, 0, -1, 0], [3, 2]), { k: 3 });
  expect([...(await y.similarities.read())].map(Math.abs)).toEqual([0, 0, 0]);
  expect([...(await y.indices.read())]).toEqual([0, 1, 2]);
});

it("keeps apart rows of lengths whose squares span the whole range of f32", async () => {
  const bank = device.tensor([1e18, 0, 0, 1e-9, 1e-9, 1e-9], [3, 2]);
  const { similarities, indices } = nearest(device.tensor([1e18, 1e18], [1, 2]), bank, { k: 3 });
  expect([...(await indices.read())]).toEqual([2, 0, 1]);
  const cosines = [1, Math.SQRT1_2, Math.SQRT1_2];
  (await similarities.read()).forEach((value, i) => {
    expect(Math.abs(value - (cosines[i] ?? 0))).toBeLessThan(14 * roundOff); // (2 · 2 + 10), as above
  });
});

it("returns excluded rows last and recognisably where nothing else is left", async () => {
  const ids = device.tensor([7], [1], "i32");
  const y = nearest(device.tensor([1, 0], [1, 2]), device.tensor([1, 0, 0.5, 0.5], [2, 2]), {
    k: 2,
    exclude: { queryIds: ids, bankIds: device.tensor([7, -1], [2], "i32") },
  });
  expect([...(await y.indices.read())]).toEqual([1, 0]);
  expect((await y.similarities.read())[1]).toBe(Math.fround(-3.4e38));
});

it("uses the variant that the tuning table names", () => {
  device.tuning.force("nearest", "portable");
  const step = recordProgram(device, (p) => {
    const { similarities, indices } = nearest(p.input("x", [3, 4]), p.input("bank", [9, 4]), { k: 2 });
    return { similarities, indices };
  });
  expect(step.program.commands.map((c) => (c.type === "dispatch" ? c.kernel.name : c.type))).toEqual([
    "nearest_traits",
    "nearest_traits",
    "nearest",
    "nearest_merge",
  ]);
});

it("names a k that is too large, and operands that do not fit", () => {
  const x = device.tensor(new Float32Array(6), [2, 3]);
  const bank = device.tensor(new Float32Array(12), [4, 3]);
  expect(() => nearest(x, bank, { k: 5 })).toThrow(
    "nearest: k is 5, expected an integer in 1 … 4 for a bank of 4 rows; choose a smaller k",
  );
  expect(() => nearest(x, bank, { k: 0 })).toThrow(OptionError);
  expect(() => nearest(x, bank, { k: 1, excludedSimilarity: Number.NEGATIVE_INFINITY })).toThrow(OptionError);
  expect(() => nearest(x, device.tensor([1, 2], [1, 2]), { k: 1 })).toThrow(ShapeError);
  const ids = device.tensor([1, 2, 3], [3], "u32");
  expect(() => nearest(x, bank, { k: 1, exclude: { queryIds: ids, bankIds: ids } })).toThrow(
    "nearest: exclude.queryIds has 3 elements, expected 2, or a divisor of it to repeat them per view; give one per row",
  );
});
