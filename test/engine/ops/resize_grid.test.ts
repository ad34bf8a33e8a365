import fc from "fast-check";
import { expect, it } from "vitest";
import { OptionError, reshape } from "../../../engine/index.ts";
import { concat } from "../../../engine/ops/concat.ts";
import { resizeGrid } from "../../../engine/ops/resize_grid.ts";
import { slice } from "../../../engine/ops/slice.ts";
import { checkGradient, checkOperation, expectClose, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { openFixture } from "../../fixture.ts";
import { operand } from "../../operand.ts";
import { type ResizeCase, resizeReference } from "../../reference/resize_grid.ts";

const device = await testDevice({ canaries: true });
const golden = async (name: string) => (await openFixture("pos-embed"))(name);
const length = fc.constantFrom(1, 2, 3, 4, 5, 7, 14, 16);
const cases: fc.Arbitrary<ResizeCase & { seed: number }> = fc.record({
  n: fc.constantFrom(1, 2),
  from: fc.tuple(length, length),
  to: fc.tuple(length, length),
  width: fc.constantFrom(1, 3, 4, 8),
  scaleOffset: fc.constantFrom(0, 0, 0.1),
  seed: fc.integer(),
});
const operands = ({ n, from, width, seed }: ResizeCase & { seed: number }) => ({
  x: { data: valuesOf("normal", seed, n * from[0] * from[1] * width), shape: [n, ...from, width] },
});

it("resizeGrid agrees with float64 for growing, shrinking and equal grids", async () => {
  await checkOperation(device, {
    cases,
    operands,
    run: (tensors, { to, scaleOffset }) => ({
      y: resizeGrid(operand(tensors, "x"), { rows: to[0], columns: to[1], scaleOffset }),
    }),
    reference: ({ x = new Float64Array() }, drawn) => ({ y: resizeReference(x, drawn) }),
    // Centres up to 16 err by 2 roundings (2^-19 at most in all), the cubic has slope <= 1.2 with 4 + 4 taps of |x| up to
    // 4 times the largest |y| (random signs cancel); values add 20 roundings.
    bound: () => 4 * 8 * 1.2 * 2 ** -19,
    floor: 0.1,
    runs: 30,
  });
});

it("the gradient of resizeGrid agrees with finite differences", async () => {
  await checkGradient(device, {
    cases,
    operands,
    run: (tensors, { to, scaleOffset }) =>
      resizeGrid(operand(tensors, "x"), { rows: to[0], columns: to[1], scaleOffset }),
    reference: ({ x = new Float64Array() }, drawn) => resizeReference(x, drawn),
    wrt: ["x"],
    runs: 15,
  });
});

it.each([
  ["4x4", 2, 2],
  ["4x4", 6, 6],
  ["4x4", 3, 5],
  ["14x14", 6, 6],
])("resizeGrid equals the published result from %s to %i × %i", async (from, rows, columns) => {
  const name = `interpolate/${from}_to_${rows}x${columns}`;
  const input = await golden(`${name}/input`);
  const x = device.tensor(input.data, input.shape);
  const plain = await resizeGrid(x, { rows, columns }).read();
  expectClose("bicubic", plain, (await golden(`${name}/bicubic`)).data, 1e-5);
  const legacy = await resizeGrid(x, { rows, columns, scaleOffset: 0.1 }).read();
  expectClose("legacy", legacy, (await golden(`${name}/bicubic_offset_0.1`)).data, 1e-5);
});

it("a flat table keeps its class row and resizes the rest", async () => {
  const input = await golden("mae_1d/4x4/input");
  const flat = reshape(device.tensor(input.data, input.shape), [17, 24]);
  // The file's 4 → 6 result belongs to another input: both cases were stored under one input name.
  const grid = reshape(slice(flat, [[1, 17]]), [1, 4, 4, 24]);
  const resized = reshape(resizeGrid(grid, { rows: 3, columns: 3 }), [9, 24]);
  const y = await concat([slice(flat, [[0, 1]]), resized]).read();
  expectClose("flat_to_3x3", y, (await golden("mae_1d/4x4/flat_to_3x3")).data, 1e-5);
});

it("resizeGrid names a length that is not a positive integer", () => {
  const x = device.zeros([1, 2, 2, 4]);
  expect(() => resizeGrid(x, { rows: 0, columns: 2 })).toThrow(
    new OptionError("resizeGrid: rows is 0, expected a positive integer"),
  );
});
