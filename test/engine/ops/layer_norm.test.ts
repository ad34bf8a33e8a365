import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { DTypeError, OptionError, recordProgram, ShapeError } from "../../../engine/index.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { layerNorm, layerNormForward } from "../../../engine/ops/layer_norm.ts";
import { layerNormGrad } from "../../../engine/ops/layer_norm_grad.ts";
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
import { layerNormReference, layerNormScales } from "../../reference/layer_norm.ts";

const device = await testDevice({ canaries: true });
afterEach(() => {
  device.tuning.force("layer_norm", undefined);
  device.tuning.force("layer_norm_grad", undefined);
});

const epsilon = 1e-6;
const drawn = fc.record({ rows: oddLength(131), columns: oddLength(257), kind: valueKind, seed: fc.integer() });
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ rows, columns, kind, seed }: Drawn) => ({
  x: { data: valuesOf(kind, seed, rows * columns), shape: [rows, columns] },
  weight: { data: valuesOf("normal", seed ^ 1, columns), shape: [columns] },
  bias: { data: valuesOf("normal", seed ^ 2, columns), shape: [columns] },
});
const evaluate = (
  { x = new Float64Array(), weight, bias }: Readonly<Record<string, Float64Array>>,
  { columns }: Drawn,
) => layerNormReference(x, columns, epsilon, weight, bias);

/** Largest ratio of a value to the deviation of its row: how far an error of the mean is blown up. */
const conditionOf = (one: Drawn) => {
  const { data } = operands(one).x;
  const { columns } = one;
  const scales = layerNormScales(data, columns, epsilon);
  return Math.max(...data.map((v, i) => Math.abs(v) * (scales[Math.floor(i / columns)] ?? 0)));
};

describe.each(rowVariants)("layer norm, variant %s", (variant) => {
  it("agrees with float64 for odd shapes, zeros, large and tiny values", async () => {
    device.tuning.force("layer_norm", variant);
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given) => ({
        y: layerNorm(operand(given, "x"), { weight: operand(given, "weight"), bias: operand(given, "bias"), epsilon }),
      }),
      reference: (given, one) => ({ y: evaluate(given, one) }),
      // the mean errs by columns / 4 + 2 units of the largest value, which counts in units of the row's deviation
      bound: (one) => (one.columns / 4 + 16) * roundOff * 4 * (1 + conditionOf(one)),
    });
  });

  it("survives a mean a thousand times the deviation", async () => {
    device.tuning.force("layer_norm", variant);
    const x = valuesOf("normal", 9, 64 * 12).map((v) => 1000 + v);
    const y = await layerNorm(device.tensor(x, [12, 64]), { epsilon }).read();
    const expected = layerNormReference(x, 64, epsilon);
    // the mean rounds to half a unit of 1000 (3e-5), which is all that y can lose
    expect(Math.max(...expected.map((v, i) => Math.abs(v - (y[i] ?? Number.NaN))))).toBeLessThan(1.5e-4);
  });
});

describe.each(["rows64", "rows16", "rows4"])("layer norm backward, variant %s", (variant) => {
  it("has the gradients of finite differences", async () => {
    device.tuning.force("layer_norm_grad", variant);
    await checkGradient(device, {
      cases: drawn.filter(({ kind, columns }) => kind === "normal" && columns >= 7),
      operands,
      run: (given) =>
        layerNorm(operand(given, "x"), { weight: operand(given, "weight"), bias: operand(given, "bias"), epsilon }),
      reference: evaluate,
      wrt: ["x", "weight", "bias"],
      runs: 6,
    });
  });

  it("sums over more rows than the workgroups take at once", async () => {
    device.tuning.force("layer_norm_grad", variant);
    const rows = 64 * 256 + 5;
    const x = device.tensor(valuesOf("normal", 1, rows * 4), [rows, 4]);
    const ones = device.tensor(new Float32Array(rows * 4).fill(1), [rows, 4]);
    const { dBias } = layerNormGrad(x, layerNormForward(x), ones);
    expect([...(await dBias.read())]).toEqual([rows, rows, rows, rows]);
  });
});

it("adds the gradient that goes around the norm", async () => {
  const x = device.tensor(valuesOf("normal", 1, 5 * 8), [5, 8]);
  const dy = device.tensor(valuesOf("normal", 2, 5 * 8), [5, 8]);
  const residual = device.tensor(valuesOf("normal", 3, 5 * 8), [5, 8]);
  const kept = layerNormForward(x);
  const plain = await layerNormGrad(x, kept, dy).dx.read();
  const around = await residual.read();
  const fused = await layerNormGrad(x, kept, dy, { residual }).dx.read();
  expect(Math.max(...Array.from(fused, (v, i) => Math.abs(v - (plain[i] ?? 0) - (around[i] ?? 0))))).toBeLessThan(1e-6);
});

it("works without weight and bias", async () => {
  const x = valuesOf("normal", 4, 3 * 7);
  const y = await layerNorm(device.tensor(x, [3, 7])).read();
  const expected = layerNormReference(x, 7, epsilon);
  expect(Math.max(...expected.map((v, i) => Math.abs(v - (y[i] ?? Number.NaN))))).toBeLessThan(2e-6);
});

it("leaves out the column sums where nobody asks for them", () => {
  const step = recordProgram(device, (p) => {
    const x = p.input("x", [6, 8]);
    const [dx = x] = p.gradients(layerNorm(x), [x], p.input("dy", [6, 8]));
    return { dx };
  });
  expect(step.print().match(/layer_norm_grad/g)?.length).toBe(1);
});

it("refuses wrong widths, types and epsilons", () => {
  const x = device.tensor([1, 2, 3, 4], [2, 2]);
  expect(() => layerNorm(x, { weight: device.tensor([1, 2, 3]) })).toThrow(ShapeError);
  expect(() => layerNorm(x, { weight: device.tensor([1, 2, 3]) })).toThrow(
    "layerNorm: weight has shape [3], expected [2]",
  );
  expect(() => layerNorm(x, { epsilon: 0 })).toThrow(OptionError);
  expect(() => layerNorm(device.tensor([1], [1], "u32"))).toThrow(DTypeError);
});

it.skipIf(!device.features.has("shader-f16")).each(rowVariants)(
  "stores half precision, variant %s",
  async (variant) => {
    device.tuning.force("layer_norm", variant);
    const columns = 8;
    const x = cast(device.tensor(valuesOf("normal", 11, 5 * columns), [5, columns]), "f16");
    const expected = layerNormReference(await cast(x, "f32").read(), columns, epsilon);
    const kept = layerNormForward(x);
    const y = await cast(kept.y, "f32").read();
    expect(Math.max(...expected.map((v, i) => Math.abs(v - (y[i] ?? Number.NaN))))).toBeLessThan(4 * 2 ** -11); // values within 4
    const { dx, dBias } = layerNormGrad(x, kept, x);
    expect((await dBias.read()).length).toBe(columns);
    expect(dx.dtype).toBe("f16");
    // dy proportional to y up to a shift: the gradient along a row vanishes but for epsilon and the roundings of f16
    expect(Math.max(...(await cast(dx, "f32").read()).map(Math.abs))).toBeLessThan(4e-3);
  },
);
