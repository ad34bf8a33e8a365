import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { AxisError, DTypeError } from "../../../engine/index.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { rowVariants } from "../../../engine/ops/row_variant.ts";
import { softmax } from "../../../engine/ops/softmax.ts";
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
import { softmaxReference } from "../../reference/softmax.ts";

const device = await testDevice({ canaries: true });
afterEach(() => device.tuning.force("softmax", undefined));

const drawn = fc.record({ rows: oddLength(131), columns: oddLength(257), kind: valueKind, seed: fc.integer() });
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ rows, columns, kind, seed }: Drawn) => ({
  x: { data: valuesOf(kind, seed, rows * columns), shape: [rows, columns] },
});
const evaluate = ({ x = new Float64Array() }: Readonly<Record<string, Float64Array>>, { columns }: Drawn) =>
  softmaxReference(x, columns);

describe.each(rowVariants)("softmax, variant %s", (variant) => {
  it("agrees with float64 for odd shapes, zeros, large and tiny values", async () => {
    device.tuning.force("softmax", variant);
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given) => ({ y: softmax(operand(given, "x")) }),
      reference: (given, one) => ({ y: evaluate(given, one) }),
      // exp errs by 3 + 2 |x| units where exp(x) matters (|x| < 16), the rescaled sum by columns / 4 more
      bound: ({ columns }) => (40 + columns / 2) * roundOff,
    });
  });

  it("has the gradient of finite differences", async () => {
    device.tuning.force("softmax", variant);
    await checkGradient(device, {
      cases: drawn.filter(({ kind }) => kind === "normal"),
      operands,
      run: (given) => softmax(operand(given, "x")),
      reference: evaluate,
      wrt: ["x"],
      runs: 6,
    });
  });
});

it("works along any axis", async () => {
  const x = valuesOf("normal", 7, 2 * 3 * 5);
  const y = await softmax(device.tensor(x, [2, 3, 5]), 1).read();
  for (const [b, c] of [
    [0, 0],
    [1, 4],
  ] as const) {
    const column = [0, 1, 2].map((k) => x[b * 15 + k * 5 + c] ?? 0);
    const expected = softmaxReference(column, 3);
    [0, 1, 2].forEach((k) => {
      expect(y[b * 15 + k * 5 + c]).toBeCloseTo(expected[k] ?? 0, 6);
    });
  }
});

it("gives equal shares for equal logits, however large", async () => {
  const y = await softmax(device.tensor([3e38, 3e38, 3e38, 3e38], [1, 4])).read();
  expect([...y]).toEqual([0.25, 0.25, 0.25, 0.25]);
});

it("refuses a wrong axis and integers", () => {
  expect(() => softmax(device.tensor([1, 2]), 1)).toThrow(AxisError);
  expect(() => softmax(device.tensor([1], [1], "u32"))).toThrow(DTypeError);
});

it.skipIf(!device.features.has("shader-f16")).each(rowVariants)(
  "stores half precision, variant %s",
  async (variant) => {
    device.tuning.force("softmax", variant);
    const x = cast(device.tensor(valuesOf("normal", 11, 3 * 7), [3, 7]), "f16");
    const expected = softmaxReference(await cast(x, "f32").read(), 7);
    const y = await cast(softmax(x), "f32").read();
    expect(Math.max(...expected.map((v, i) => Math.abs(v - (y[i] ?? Number.NaN))))).toBeLessThan(2 ** -11); // values within 1
  },
);
