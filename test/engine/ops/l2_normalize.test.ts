import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { OptionError, recordProgram } from "../../../engine/index.ts";
import { l2Normalize } from "../../../engine/ops/l2_normalize.ts";
import { rowVariants } from "../../../engine/ops/row_variant.ts";
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
import { l2NormalizeReference } from "../../reference/l2_normalize.ts";

const device = await testDevice({ canaries: true });
afterEach(() => device.tuning.force("l2_normalize", undefined));

const drawn = fc.record({ rows: oddLength(131), columns: oddLength(257), kind: valueKind, seed: fc.integer() });
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ rows, columns, kind, seed }: Drawn) => ({
  x: { data: valuesOf(kind, seed, rows * columns), shape: [rows, columns] },
});
const evaluate = ({ x = new Float64Array() }: Readonly<Record<string, Float64Array>>, { columns }: Drawn) =>
  l2NormalizeReference(x, columns, 1e-12);

describe.each(rowVariants)("l2Normalize, variant %s", (variant) => {
  it("agrees with float64 for odd shapes, zeros, large and tiny values", async () => {
    device.tuning.force("l2_normalize", variant);
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given) => ({ y: l2Normalize(operand(given, "x")) }),
      reference: (given, one) => ({ y: evaluate(given, one) }),
      bound: ({ columns }) => (columns / 4 + 20) * roundOff, // the sum of squares; its root halves the error
    });
  });

  it("has the gradient of finite differences", async () => {
    device.tuning.force("l2_normalize", variant);
    await checkGradient(device, {
      cases: drawn.filter(({ kind, columns }) => kind === "normal" && columns >= 5),
      operands,
      run: (given) => l2Normalize(operand(given, "x")),
      reference: evaluate,
      wrt: ["x"],
      runs: 6,
    });
  });

  it("treats rows shorter than epsilon as divided by a constant", async () => {
    device.tuning.force("l2_normalize", variant);
    const step = recordProgram(device, (p) => {
      const x = p.input("x", [1, 3]);
      const y = l2Normalize(x, 0.5);
      const [dx = y] = p.gradients(y, [x], p.input("dy", [1, 3]));
      return { y, dx };
    });
    const { y, dx } = await (await step.run({ x: [0.25, 0, 0], dy: [1, 2, 3] }, ["y", "dx"])).read();
    expect([...y]).toEqual([0.5, 0, 0]);
    expect([...dx]).toEqual([2, 4, 6]);
  });
});

it("neither overflows nor vanishes", async () => {
  const y = await l2Normalize(device.tensor([3e30, 4e30, 3e-10, 4e-10], [2, 2])).read();
  for (const [i, expected] of [0.6, 0.8, 0.6, 0.8].entries()) expect(y[i]).toBeCloseTo(expected, 6);
});

it("refuses an epsilon without an inverse", () => {
  expect(() => l2Normalize(device.tensor([1]), 0)).toThrow(OptionError);
});
