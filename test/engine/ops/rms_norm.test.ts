import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { DTypeError, OptionError, RankError, recordProgram, ShapeError } from "../../../engine/index.ts";
import { add } from "../../../engine/ops/binary.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { rmsNorm } from "../../../engine/ops/rms_norm.ts";
import { rowVariants } from "../../../engine/ops/row_variant.ts";
import {
  checkGradient,
  checkOperation,
  expectClose,
  oddLength,
  roundOff,
  valueKind,
  valuesOf,
} from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { rmsNormReference } from "../../reference/rms_norm.ts";

const device = await testDevice({ canaries: true });
afterEach(() => {
  device.tuning.force("rms_norm", undefined);
  device.tuning.force("rms_norm_grad", undefined);
});

const epsilon = 1e-6;
const drawn = fc.record({
  leading: fc.array(oddLength(11), { minLength: 0, maxLength: 2 }),
  columns: oddLength(257),
  kind: valueKind,
  seed: fc.integer(),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ leading, columns, kind, seed }: Drawn) => {
  const shape = [...leading, columns];
  const size = shape.reduce((product, length) => product * length, 1);
  return {
    x: { data: valuesOf(kind, seed, size), shape },
    weight: { data: valuesOf("normal", seed ^ 1, columns), shape: [columns] },
  };
};
const evaluate = ({ x = new Float64Array(), weight = x }: Readonly<Record<string, Float64Array>>, { columns }: Drawn) =>
  rmsNormReference(x, columns, epsilon, weight);

describe.each(rowVariants)("RMS norm, variant %s", (variant) => {
  it("agrees with float64 for odd shapes, zeros, large and tiny values", async () => {
    device.tuning.force("rms_norm", variant);
    await checkOperation(device, {
      cases: drawn,
      operands,
      run: (given) => ({ y: rmsNorm(operand(given, "x"), operand(given, "weight"), epsilon) }),
      reference: (given, one) => ({ y: evaluate(given, one) }),
      // All squares are positive, so their sum errs by columns / 4 + 3 relative roundings at most, halved by the root; a root of 4
      // units (1 / inverse root, WGSL 15.7.4.1), two divisions of 2.5 units, the product with epsilon's sum and two more.
      bound: ({ columns }) => ((columns / 4 + 3) / 2 + 14) * roundOff,
    });
  });

  it.skipIf(!device.features.has("shader-f16"))("stores half precision", async () => {
    device.tuning.force("rms_norm", variant);
    for (const columns of [7, 8]) {
      const x = cast(device.tensor(valuesOf("normal", 11, 5 * columns), [5, columns]), "f16");
      const weight = valuesOf("normal", 12, columns);
      const y = rmsNorm(x, device.tensor(weight), epsilon);
      expect(y.dtype).toBe("f16");
      const expected = rmsNormReference(await cast(x, "f32").read(), columns, epsilon, weight);
      expectClose("y", await cast(y, "f32").read(), expected, 2 ** -11); // stored with an 11-bit mantissa
    }
  });
});

describe.each(["rows64", "rows16", "rows4"])("RMS norm backward, variant %s", (variant) => {
  it("has the gradients of finite differences", async () => {
    device.tuning.force("rms_norm_grad", variant);
    await checkGradient(device, {
      // In one column y is the sign of x but for epsilon: nothing of the gradient outlives the cancellation in f32.
      cases: drawn.filter(({ kind, columns }) => kind === "normal" && columns >= 7),
      operands,
      run: (given) => rmsNorm(operand(given, "x"), operand(given, "weight"), epsilon),
      reference: evaluate,
      wrt: ["x", "weight"],
      runs: 8,
    });
  });

  it("sums over more rows than the workgroups take at once", async () => {
    device.tuning.force("rms_norm_grad", variant);
    const rows = 64 * 256 + 5;
    const step = recordProgram(device, (p) => {
      const weight = p.input("weight", [4]);
      const y = rmsNorm(p.input("x", [rows, 4]), weight);
      const [dWeight = weight] = p.gradients(y, [weight], p.input("dy", [rows, 4]));
      return { dWeight };
    });
    const ones = new Float32Array(rows * 4).fill(1);
    const { dWeight } = await (await step.run({ x: ones, weight: [1, 1, 1, 1], dy: ones }, ["dWeight"])).read();
    // x / rms is 1 / sqrt(1 + 1e-6) in every element: the sum is that times the rows
    expectClose("dWeight", dWeight, Array(4).fill(rows / Math.sqrt(1 + 1e-6)), 64 * roundOff);
  });
});

it("adds the gradient that goes around the norm without a pass of its own", async () => {
  const x = valuesOf("normal", 1, 5 * 8);
  const dy = valuesOf("normal", 2, 5 * 8);
  const weight = new Float32Array(8).fill(1);
  const record = (around: boolean) =>
    recordProgram(device, (p) => {
      const input = p.input("x", [5, 8]);
      const y = rmsNorm(input, p.input("weight", [8]));
      const [dx = y] = p.gradients(around ? add(y, input) : y, [input], p.input("dy", [5, 8]));
      return { dx };
    });
  const [plain, around] = [record(false), record(true)];
  const inputs = { x, dy, weight };
  const bare = (await (await plain.run(inputs, ["dx"])).read()).dx;
  const sum = (await (await around.run(inputs, ["dx"])).read()).dx;
  expectClose(
    "dx",
    sum,
    Array.from(bare, (v, i) => v + (dy[i] ?? 0)),
    4 * roundOff,
  );
  expect(around.print()).not.toMatch(/binary/);
});

it("leaves out the column sums where nobody asks for them", () => {
  const step = recordProgram(device, (p) => {
    const x = p.input("x", [6, 8]);
    const [dx = x] = p.gradients(rmsNorm(x, p.input("weight", [8])), [x], p.input("dy", [6, 8]));
    return { dx };
  });
  expect(step.print()).not.toMatch(/reduce/);
});

it("refuses scalars, wrong widths, types and epsilons", () => {
  const x = device.tensor([1, 2, 3, 4], [2, 2]);
  const weight = device.tensor([1, 1]);
  expect(() => rmsNorm(device.tensor([1], []), weight)).toThrow(RankError);
  expect(() => rmsNorm(x, device.tensor([1, 2, 3]))).toThrow(ShapeError);
  expect(() => rmsNorm(x, device.tensor([1, 2, 3]))).toThrow("rmsNorm: weight has shape [3], expected [2]");
  expect(() => rmsNorm(x, weight, 0)).toThrow(OptionError);
  expect(() => rmsNorm(x, weight, Number.NaN)).toThrow("rmsNorm: epsilon NaN is not positive; the usual value is 1e-6");
  expect(() => rmsNorm(device.tensor([1], [1], "u32"), weight)).toThrow(DTypeError);
});
