import fc from "fast-check";
import { expect, it } from "vitest";
import { cast, OptionError, ShapeError } from "../../../engine/index.ts";
import { scaledSum } from "../../../engine/ops/scaled_sum.ts";
import {
  checkGradient,
  checkOperation,
  oddLength,
  roundOff,
  valueKind,
  valuesOf,
} from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
const drawn = fc.record({
  samples: oddLength(17),
  rowsPerSample: oddLength(5),
  columns: oddLength(67),
  tableRows: fc.integer({ min: 1, max: 3 }),
  kind: valueKind,
  seed: fc.integer(),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ samples, rowsPerSample, columns, tableRows, kind, seed }: Drawn) => {
  const shape = [samples * rowsPerSample, columns];
  const size = samples * rowsPerSample * columns;
  return {
    residual: { data: valuesOf(kind, seed, size), shape },
    branch: { data: valuesOf(kind, seed ^ 1, size), shape },
    // Drop path has zeros and one other factor.
    table: {
      data: valuesOf("normal", seed ^ 2, tableRows * samples).map((value) => (value > 0 ? 1.25 : 0)),
      shape: [tableRows, samples],
    },
  };
};
const evaluate = (given: Readonly<Record<string, Float64Array>>, one: Drawn) => {
  const { samples, rowsPerSample, columns, tableRows } = one;
  return (given.residual ?? new Float64Array()).map((value, i) => {
    const sample = Math.floor(i / (rowsPerSample * columns));
    const factor = given.table?.[(tableRows - 1) * samples + sample] ?? Number.NaN;
    return value + factor * (given.branch?.[i] ?? Number.NaN);
  });
};
const run = (given: Parameters<typeof operand>[0], { tableRows }: Drawn) =>
  scaledSum(operand(given, "residual"), operand(given, "branch"), {
    table: operand(given, "table"),
    row: tableRows - 1,
  });

it("adds the branch times the factor of its sample", async () => {
  await checkOperation(device, {
    cases: drawn,
    operands,
    run: (given, one) => ({ y: run(given, one) }),
    reference: (given, one) => ({ y: evaluate(given, one) }),
    bound: () => 3 * roundOff, // a product and a sum, which may cancel down to the size of neither operand
  });
});

it("has the gradient of finite differences", async () => {
  await checkGradient(device, {
    cases: drawn.filter(({ kind }) => kind === "normal"),
    operands,
    run,
    reference: evaluate,
    wrt: ["residual", "branch"],
    runs: 8,
  });
});

it("leaves the residual of a dropped sample as it is, bit by bit", async () => {
  const residual = valuesOf("large", 3, 2 * 5);
  const y = scaledSum(device.tensor(residual, [2, 5]), device.tensor(valuesOf("normal", 4, 10), [2, 5]), {
    table: device.tensor([0, 0], [1, 2]),
    row: 0,
  });
  expect(await y.read()).toEqual(Float32Array.from(residual));
});

it.skipIf(!device.features.has("shader-f16"))("stores half precision", async () => {
  const half = (values: number[]) => cast(device.tensor(values, [2, 2]), "f16");
  const y = scaledSum(half([1, 2, 3, 4]), half([8, 16, 32, 64]), { table: device.tensor([0, 1.25], [1, 2]), row: 0 });
  expect([...(await cast(y, "f32").read())]).toEqual([1, 2, 43, 84]);
});

it("refuses factors that do not fit, and rows that are not there", () => {
  const x = device.tensor([1, 2, 3], [3, 1]);
  const table = device.tensor([1, 1], [1, 2]);
  expect(() => scaledSum(x, x, { table, row: 0 })).toThrow(ShapeError);
  expect(() => scaledSum(x, x, { table: device.tensor([1], [1, 1]), row: 1 })).toThrow(OptionError);
});
