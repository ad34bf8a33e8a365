import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IndexError, RankError, recordProgram, ShapeError } from "../../../engine/index.ts";
import { gather, scatterAdd } from "../../../engine/ops/gather.ts";
import {
  checkGradient,
  checkOperation,
  oddLength,
  randomSource,
  roundOff,
  valueKind,
  valuesOf,
} from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { gatherReference, scatterAddReference } from "../../reference/gather.ts";

const device = await testDevice({ canaries: true });

const drawn = fc.record({
  tableRows: oddLength(67),
  sources: oddLength(131),
  columns: oddLength(67),
  kind: valueKind,
  seed: fc.integer(),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

/** Indices with many duplicates: half of them are the last row. */
function indicesOf({ tableRows, sources, seed }: Drawn): Uint32Array {
  const random = randomSource(seed);
  return Uint32Array.from({ length: sources }, () =>
    random() < 0.5 ? tableRows - 1 : Math.floor(random() * tableRows),
  );
}

const tableOperands = (one: Drawn) => ({
  table: { data: valuesOf(one.kind, one.seed, one.tableRows * one.columns), shape: [one.tableRows, one.columns] },
  indices: { data: indicesOf(one), shape: [one.sources], dtype: "u32" as const },
});
const valueOperands = (one: Drawn) => ({
  values: { data: valuesOf(one.kind, one.seed, one.sources * one.columns), shape: [one.sources, one.columns] },
  indices: { data: indicesOf(one), shape: [one.sources], dtype: "u32" as const },
});
const none = new Float64Array();

describe("gather", () => {
  it("copies rows exactly", async () => {
    await checkOperation(device, {
      cases: drawn,
      operands: tableOperands,
      run: (given) => ({ y: gather(operand(given, "table"), operand(given, "indices")) }),
      reference: ({ table = none, indices = none }, { columns }) => ({ y: gatherReference(table, columns, indices) }),
      bound: () => 0,
    });
  });

  it("has the gradient of finite differences", async () => {
    await checkGradient(device, {
      cases: drawn.filter(({ kind }) => kind === "normal"),
      operands: tableOperands,
      run: (given) => gather(operand(given, "table"), operand(given, "indices")),
      reference: ({ table = none, indices = none }, { columns }) => gatherReference(table, columns, indices),
      wrt: ["table"],
    });
  });

  it("keeps further axes of indices and table", async () => {
    const table = device.tensor([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]);
    const y = gather(table, device.tensor([1, 0], [1, 2], "i32"));
    expect(y.shape).toEqual([1, 2, 2, 2]);
    expect([...(await y.read())]).toEqual([5, 6, 7, 8, 1, 2, 3, 4]);
  });

  it("reports an index past the end, and a negative one, at the next read", async () => {
    const table = device.tensor([1, 2, 3], [3, 1]);
    await expect(gather(table, device.tensor([0, 3], [2], "u32")).read()).rejects.toThrow(IndexError);
    await expect(gather(table, device.tensor([0, 3], [2], "u32")).read()).rejects.toThrow(/gather.*3/);
    await expect(gather(table, device.tensor([-1], [1], "i32")).read()).rejects.toThrow(IndexError);
    expect([...(await gather(table, device.tensor([2], [1], "u32")).read())]).toEqual([3]);
  });

  it("refuses a scalar table", () => {
    expect(() => gather(device.tensor([1], []), device.tensor([0], [1], "u32"))).toThrow(RankError);
  });
});

describe("scatterAdd", () => {
  it("adds rows within the error of a sum in order", async () => {
    await checkOperation(device, {
      cases: drawn,
      operands: valueOperands,
      run: (given, { tableRows }) => ({
        y: scatterAdd(operand(given, "indices"), operand(given, "values"), tableRows),
      }),
      reference: ({ values = none, indices = none }, { columns, tableRows }) => ({
        y: scatterAddReference(values, columns, indices, tableRows),
      }),
      bound: (one) => {
        const { values, indices } = valueOperands(one);
        const sums = scatterAddReference(values.data, one.columns, indices.data, one.tableRows);
        const magnitudes = scatterAddReference(values.data.map(Math.abs), one.columns, indices.data, one.tableRows);
        // at most `sources` additions, each erring by one round-off of the magnitudes so far
        return (one.sources * roundOff * Math.max(...magnitudes)) / Math.max(1e-6, ...sums.map(Math.abs));
      },
    });
  });

  it("has the gradient of finite differences", async () => {
    await checkGradient(device, {
      cases: drawn.filter(({ kind }) => kind === "normal"),
      operands: valueOperands,
      run: (given, { tableRows }) => scatterAdd(operand(given, "indices"), operand(given, "values"), tableRows),
      reference: ({ values = none, indices = none }, { columns, tableRows }) =>
        scatterAddReference(values, columns, indices, tableRows),
      wrt: ["values"],
    });
  });

  it("adds in the order of the sources, so that the bits are those of a loop", async () => {
    const values = valuesOf("normal", 11, 3000);
    const indices = Uint32Array.from({ length: 1000 }, (_, i) => (i * 7) % 5);
    const y = await scatterAdd(device.tensor(indices, [1000], "u32"), device.tensor(values, [1000, 3]), 5).read();
    const expected = new Float32Array(15);
    values.forEach((value, at) => {
      const to = (indices[Math.floor(at / 3)] ?? 0) * 3 + (at % 3);
      expected[to] = (expected[to] ?? 0) + value;
    });
    expect(y).toEqual(expected);
  });

  it("reports an index past the end at the next read", async () => {
    const program = recordProgram(device, (p) => ({
      y: scatterAdd(p.input("indices", [2], "u32"), p.input("values", [2, 1]), 3),
    }));
    const good = await program.run({ indices: new Uint32Array([2, 2]), values: [1, 2] }, ["y"]);
    expect([...(await good.read()).y]).toEqual([0, 0, 3]);
    const bad = await program.run({ indices: new Uint32Array([0, 4294967295]), values: [1, 2] }, ["y"]);
    await expect(bad.read()).rejects.toThrow(/scatterAdd/);
  });

  it("refuses another number of indices than of rows", () => {
    const indices = device.tensor([0, 1], [2], "u32");
    expect(() => scatterAdd(indices, device.tensor([1, 2, 3], [3, 1]), 2)).toThrow(ShapeError);
  });
});
