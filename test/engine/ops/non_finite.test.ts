import { describe, expect, it } from "vitest";
import * as engine from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const inf = Number.POSITIVE_INFINITY;
const nan = Number.NaN;
const tensor = (values: readonly number[], shape: readonly number[] = [values.length]): engine.Tensor =>
  device.tensor(Float32Array.from(values), shape);
const matrix = (values: readonly number[]): engine.Tensor => tensor(values, [1, values.length]);
const gradient = (y: engine.Tensor, x: engine.Tensor): Promise<engine.HostArray> => {
  const [dx = x] = y.program.gradients(engine.sum(y), [x]);
  return dx.read();
};

/** Results as of PyTorch 2; by name: what is computed, and what it gives. */
const cases: Readonly<Record<string, readonly [() => engine.Tensor, readonly number[]]>> = {
  "max passes NaN": [() => engine.max(matrix([1, nan, 3, 2, 5]), { axes: [1] }), [nan]],
  "max passes NaN in front": [() => engine.max(matrix([nan, 1, 3, 2]), { axes: [1] }), [nan]],
  "max passes NaN down columns": [() => engine.max(tensor([1, nan, 3, 2], [2, 2]), { axes: [0] }), [3, nan]],
  "max of minus infinity": [() => engine.max(matrix([-inf, -inf]), { axes: [1] }), [-inf]],
  "argmax takes the first NaN": [() => engine.argmax(tensor([1, nan, 3, nan]), 0), [1]],
  "maximum passes NaN": [() => engine.maximum(tensor([nan, 1, 1, -inf]), tensor([1, nan, 2, inf])), [nan, nan, 2, inf]],
  "minimum passes NaN": [() => engine.minimum(tensor([nan, 1, 1, -inf]), 0), [nan, 0, 0, -inf]],
  "NaN differs from all": [() => engine.notEqual(tensor([nan, 1, 2]), 1), [1, 0, 1]],
  "NaN equals nothing": [() => engine.equal(tensor([nan, 1, 2]), 1), [0, 1, 0]],
  "NaN is not less": [() => engine.lessEqual(tensor([nan, 1, -inf]), 1), [0, 1, 1]],
  "NaN is not greater": [() => engine.greaterEqual(tensor([nan, 1, inf]), 1), [0, 1, 1]],
  "clamp passes NaN": [() => engine.clamp(tensor([nan, inf, -inf]), { low: -1, high: 1 }), [nan, 1, -1]],
  "clamp without a bound": [() => engine.clamp(tensor([nan, inf, -inf]), { low: -1 }), [nan, inf, -1]],
  "tanh passes NaN": [() => engine.tanh(tensor([nan, inf, -inf])), [nan, 1, -1]],
  "l2Normalize passes NaN": [() => engine.l2Normalize(matrix([nan, 3])), [nan, nan]],
  "l2Normalize of infinity": [() => engine.l2Normalize(matrix([inf, 3])), [nan, 0]],
  "pow of negative bases": [
    () => engine.pow(tensor([-2, -2, -2, 0, 0, 5]), tensor([3, 2, 0.5, 2, -1, 0])),
    [-8, 4, nan, 0, inf, 1],
  ],
  "pow of numbers": [() => engine.pow(tensor([-3, 0, 2]), 3), [-27, 0, 8]],
  "integers saturate": [
    () => engine.cast(tensor([3e9, -3e9, inf, 1.9, nan]), "i32"),
    [2147483647, -2147483648, 2147483647, 1, 0],
  ],
  "counts saturate": [() => engine.cast(tensor([5e9, -1, inf, 1.9]), "u32"), [4294967295, 0, 4294967295, 1]],
};

it.each(Object.entries(cases))("%s", async (_name, [run, expected]) => {
  const y = [...(await run().read())];
  expect(
    y.map((value, i) => (Math.abs(value - (expected[i] ?? 0)) < 1e-5 * Math.abs(value) ? expected[i] : value)),
  ).toEqual(expected);
});

describe.each(["invocation", "workgroup"])("rows by %s", (variant) => {
  const forced = async (operation: string, run: () => Promise<engine.HostArray>): Promise<number[]> => {
    device.tuning.force(operation, variant);
    const y = await run();
    device.tuning.force(operation, undefined);
    return [...y];
  };

  it.each([5, 8, 16, 24])("softmax of %i columns gives masked places 0", async (columns) => {
    const row = Array.from({ length: columns }, (_, i) => (i === 2 ? 1 : i === 3 ? 2 : -inf));
    const y = await forced("softmax", () => engine.softmax(matrix(row)).read());
    y.forEach((value, i) => {
      expect(value).toBeCloseTo(i === 2 ? 0.26894142 : i === 3 ? 0.73105858 : 0, 6);
    });
  });

  it.each([
    [-inf, -inf, -inf, -inf],
    [1, 2, nan, 3],
    [1, inf, 2, 3],
    [-inf, -inf, -inf, nan, 1],
  ])("softmax of %f, %f, %f, %f is no number", async (...row) => {
    expect(await forced("softmax", () => engine.softmax(matrix(row)).read())).toEqual(row.map(() => nan));
  });

  it.each([
    [[-3.4e38, -3.4e38, 0, 1], 0, 0.31326],
    [[-inf, -inf, 0, 1], 0, 0.31326],
    [[-inf, 0, 1, 2, 3], 0, 1.440189],
    [[-inf, -inf, 0, 1], 0.1, inf],
    [[-inf, -inf, -inf, -inf], 0, nan],
    [[0, nan, 0, 1], 0, nan],
  ])("cross-entropy of %j with smoothing %f", async (row, labelSmoothing, expected) => {
    const target = device.tensor(Uint32Array.of(3), [1], "u32");
    const [loss = 0] = await forced("cross_entropy", () =>
      engine.crossEntropy(matrix(row), target, { labelSmoothing }).read(),
    );
    if (Number.isFinite(expected)) expect(loss).toBeCloseTo(expected, 4);
    else expect(loss).toBe(expected);
  });

  it("the gradient of cross-entropy does not depend on an offset", async () => {
    const target = device.tensor(Uint32Array.of(3), [1], "u32");
    const of = (offset: number) =>
      forced("cross_entropy", () => {
        const x = matrix([0, 1, 2, 3].map((value) => value + offset));
        return gradient(engine.crossEntropy(x, target), x);
      });
    const [plain, moved] = [await of(0), await of(1e4)];
    plain.forEach((value, i) => {
      expect(moved[i]).toBeCloseTo(value, 6);
    });
  });

  it("layer norm of equal large numbers is 0", async () => {
    const y = await forced("layer_norm", () => engine.layerNorm(matrix(Array(192).fill(1000.1))).read());
    expect(Math.max(...y.map(Math.abs))).toBe(0);
  });
});

it("the gradient of max goes to minus infinity alone", async () => {
  const x = matrix([-inf, -inf]);
  expect([...(await gradient(engine.max(x, { axes: [1] }), x))]).toEqual([0.5, 0.5]);
});

it("pow has PyTorch's gradients at 0", async () => {
  const x = tensor([0, -2, 3]);
  expect([...(await gradient(engine.pow(x, 2), x))]).toEqual([0, -4, 6]);
  expect([...(await gradient(engine.pow(x, 0), x))]).toEqual([0, 0, 0]);
  const b = tensor([2, 2]);
  expect((await gradient(engine.pow(tensor([0, 1]), b), b)).map(Math.abs)).toEqual(Float32Array.of(0, 0));
});

it("a number beside a scalar leaves it a scalar", () => {
  const x = engine.sum(tensor([1, 2]));
  expect(engine.greater(x, 1).shape).toEqual([]);
  expect(engine.where(engine.greater(x, 1), x, 0).shape).toEqual([]);
});

it("an index of -1 is named", async () => {
  const indices = device.tensor(Int32Array.of(0, -1), [2], "i32");
  await expect(engine.gather(tensor([1, 2]), indices).read()).rejects.toThrow("value -1,");
});

it.skipIf(!device.features.has("shader-f16"))("numbers stand beside f16", async () => {
  const x = engine.cast(tensor([1, 2]), "f16");
  expect([...(await engine.greater(x, 1.5).read())]).toEqual([0, 1]);
  expect([...(await engine.cast(engine.where(engine.greater(x, 1.5), x, 1.5), "f32").read())]).toEqual([1.5, 2]);
  expect([...(await gradient(engine.cast(engine.maximum(x, 1.5), "f32"), x))]).toHaveLength(2);
});
