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
  "min passes NaN": [() => engine.min(tensor([1, nan, 3, 2], [2, 2]), { axes: [1] }), [nan, 2]],
  "min of infinities": [() => engine.min(tensor([inf, inf, -inf, 2], [2, 2]), { axes: [0] }), [-inf, 2]],
  "argmin takes the first NaN": [() => engine.argmin(tensor([1, nan, 3, nan]), 0), [1]],
  "products pass NaN": [() => engine.prod(tensor([nan, 1, inf, 0, inf, -2], [3, 2]), { axes: [1] }), [nan, nan, -inf]],
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
  "pow at infinity and at minus zero": [
    () =>
      engine.pow(
        tensor([-1, -1, -inf, -inf, -inf, -0, -0, -0, 0, inf]),
        tensor([inf, -inf, 0.5, -0.5, 3, -1, -2, 3, -1, 0]),
      ),
    [1, 1, inf, 0, -inf, -inf, inf, 0, inf, 1],
  ],
  "pow with an infinite number": [() => engine.pow(tensor([-1, 0.5, 2, nan]), inf), [1, 0, inf, nan]],
  "pow of an infinite number": [() => engine.pow(-inf, tensor([0.5, -0.5, 3, 2])), [inf, 0, -inf, inf]],
  "exp passes NaN": [() => engine.exp(tensor([nan, inf, -inf, 0, 89])), [nan, inf, 0, 1, inf]],
  "exp passes NaN alone": [() => engine.exp(tensor([nan])), [nan]],
  "log of what is not above 0": [
    () => engine.log(tensor([nan, 0, -0, -1, -inf, inf, 1])),
    [nan, -inf, -inf, nan, nan, inf, 0],
  ],
  "log in fours": [() => engine.log(tensor([nan, 0, -3, inf])), [nan, -inf, nan, inf]],
  "roots of what is not above 0": [() => engine.sqrt(tensor([nan, 0, -1, inf, -inf])), [nan, 0, nan, inf, nan]],
  "reciprocal roots": [() => engine.rsqrt(tensor([nan, 0, -1, inf, -inf])), [nan, inf, nan, 0, nan]],
  reciprocals: [() => engine.reciprocal(tensor([nan, 0, -0, inf, -inf])), [nan, inf, -inf, 0, 0]],
  "gelu passes NaN": [() => engine.gelu(tensor([nan, inf, 0])), [nan, inf, 0]],
  "relu passes NaN": [() => engine.relu(tensor([nan, inf, -inf, -1])), [nan, inf, 0, 0]],
  "sigmoid at its ends": [() => engine.sigmoid(tensor([nan, inf, -inf, 100, -100])), [nan, 1, 0, 1, 0]],
  "silu at its ends": [() => engine.silu(tensor([nan, inf, -inf, -200])), [nan, inf, nan, 0]],
  "softplus at its ends": [() => engine.softplus(tensor([nan, inf, -inf, 1000, -1000])), [nan, inf, 0, 1000, 0]],
  "sin of what has no angle": [() => engine.sin(tensor([nan, inf, -inf, 0])), [nan, nan, nan, 0]],
  "cos of what has no angle": [() => engine.cos(tensor([nan, inf, -inf, 0])), [nan, nan, nan, 1]],
  "floor passes NaN": [() => engine.floor(tensor([nan, inf, -inf, -0.5])), [nan, inf, -inf, -1]],
  "ceil passes NaN": [() => engine.ceil(tensor([nan, inf, -inf, 0.5])), [nan, inf, -inf, 1]],
  "round passes NaN": [() => engine.round(tensor([nan, inf, -inf, 0.5])), [nan, inf, -inf, 0]],
  "erf at its ends": [() => engine.erf(tensor([nan, inf, -inf, 30])), [nan, 1, -1, 1]],
  "log1p of what is not above -1": [
    () => engine.log1p(tensor([nan, inf, -inf, -1, -2, 0])),
    [nan, inf, nan, -inf, nan, 0],
  ],
  "expm1 at its ends": [() => engine.expm1(tensor([nan, inf, -inf, -100, 0])), [nan, inf, -1, -1, 0]],
  "isNan tells NaN from infinity": [() => engine.isNan(tensor([nan, inf, -inf, 0])), [1, 0, 0, 0]],
  "maxPool2d passes NaN": [
    () => engine.maxPool2d(tensor([1, nan, 3, -inf, -inf, 2], [1, 1, 6, 1]), { window: [1, 2] }),
    [nan, 3, 2],
  ],
  "maxPool2d of minus infinity": [
    () => engine.maxPool2d(tensor([-inf, -inf], [1, 1, 2, 1]), { window: [1, 2], padding: [0, 1] }),
    [-inf, -inf],
  ],
  "averagePool2d passes NaN": [
    () => engine.averagePool2d(tensor([1, nan, inf, 1, 2, 4], [1, 1, 6, 1]), { window: [1, 2] }),
    [nan, inf, 3],
  ],
  "abs and square pass NaN": [() => engine.abs(engine.square(tensor([nan, inf, -inf]))), [nan, inf, inf]],
  "sums pass NaN and meet infinities": [
    () => engine.sum(tensor([nan, 1, inf, -inf, inf, 1], [3, 2]), { axes: [1] }),
    [nan, nan, inf],
  ],
  "means pass NaN": [() => engine.mean(tensor([nan, 1, inf, 1], [2, 2]), { axes: [1] }), [nan, inf]],
  "where takes nothing from the other operand": [
    () => engine.where(engine.greater(tensor([1, -1]), 0), tensor([1, nan]), tensor([nan, 2])),
    [1, 2],
  ],
  "signed integers become unsigned ones within their range": [
    () => engine.cast(device.tensor(Int32Array.of(-1, 5, -2147483648, 2147483647), [4], "i32"), "u32"),
    [0, 5, 0, 2147483647],
  ],
  "unsigned integers become signed ones within their range": [
    () => engine.cast(device.tensor(Uint32Array.of(4294967295, 2147483648, 7), [3], "u32"), "i32"),
    [2147483647, 2147483647, 7],
  ],
  "bytes saturate": [
    () => engine.cast(engine.cast(tensor([300, -5, 255.9, 0.9, nan, inf, -inf]), "u8"), "u32"),
    [255, 0, 255, 0, 0, 255, 0],
  ],
  "bytes of integers saturate": [
    () => engine.cast(engine.cast(device.tensor(Int32Array.of(-1, 256, 255), [3], "i32"), "u8"), "i32"),
    [0, 255, 255],
  ],
  "integers saturate": [
    () => engine.cast(tensor([3e9, -3e9, inf, 1.9, nan]), "i32"),
    [2147483647, -2147483648, 2147483647, 1, 0],
  ],
  "counts saturate": [() => engine.cast(tensor([5e9, -1, inf, 1.9]), "u32"), [4294967295, 0, 4294967295, 1]],
};

it.each(Object.entries(cases))("%s", async (_name, [run, expected]) => {
  const y = [...(await run().read())].map((value) => value + 0); // -0 becomes 0
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
    [...Array(64).fill(1), nan],
    [...Array(63).fill(1), inf],
  ])("softmax of %f, %f, %f, %f is no number", async (...row) => {
    expect(await forced("softmax", () => engine.softmax(matrix(row)).read())).toEqual(row.map(() => nan));
  });

  it.each([
    [[-3.4e38, -3.4e38, 0, 1], 0, 0.31326],
    [[-inf, -inf, 0, 1], 0, 0.31326],
    [[-inf, 0, 1, 2, 3], 0, 1.440189],
    [[-inf, -inf, 0, 1], 0.1, inf],
    [[-inf, 1, 0, 1, 0.5], 0.1, inf],
    [[-inf, 1, 0, 1, 0.5, 2, 1], 0.1, inf],
    [Array.from({ length: 16 }, (_, i) => (i === 0 ? -inf : i / 8)), 0.1, inf],
    [Array(300).fill(-inf), 0, nan],
    [[-inf, nan, -inf, 2, -inf], 0, nan],
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

  it.each([
    [nan, 0, 1, 2],
    [-inf, -inf, -inf, -inf],
    [0, 1, inf, 2],
  ])("the gradient of cross-entropy of %f, %f, %f, %f is no number", async (a, b, c, d) => {
    const target = device.tensor(Uint32Array.of(3), [1], "u32");
    const x = matrix([a, b, c, d]);
    const dx = await forced("cross_entropy", () => gradient(engine.crossEntropy(x, target), x));
    expect(dx).toEqual([nan, nan, nan, nan]);
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

/** As of PyTorch 1.13: equal operands share the gradient, and both get the whole of it where one is NaN. */
it.each([engine.maximum, engine.minimum])("gradients of %o at ties and NaN", async (choose) => {
  const [a, b] = [tensor([1, nan, 1, 3, inf]), tensor([1, 1, nan, 3, inf])];
  for (const x of [a, b]) expect([...(await gradient(choose(a, b), x))]).toEqual([0.5, 1, 1, 0.5, 0.5]);
  expect([...(await gradient(choose(a, 1), a))].slice(0, 2)).toEqual([0.5, 1]);
});

/** As of PyTorch 1.13. */
it("gradients of exp, log, sqrt and abs at their edges", async () => {
  const at = async (f: (x: engine.Tensor) => engine.Tensor, ...values: number[]) => {
    const x = tensor(values);
    return [...(await gradient(f(x), x))];
  };
  expect(await at(engine.exp, nan, -inf, inf, 0)).toEqual([nan, 0, inf, 1]);
  expect(await at(engine.log, 0, inf, 2, nan)).toEqual([inf, 0, 0.5, nan]);
  expect(await at(engine.sqrt, 0, inf, 4, nan)).toEqual([inf, 0, 0.25, nan]);
  expect(await at(engine.abs, 0, -inf, inf, -2)).toEqual([0, -1, 1, -1]);
});

it("the gradient of a choice takes nothing from what was not chosen", async () => {
  const x = tensor([1, -1, 4]);
  const y = engine.where(engine.greater(x, 0), x, engine.mul(engine.abs(x), nan));
  expect([...(await gradient(y, x))].map(Number.isNaN)).toEqual([true, true, true]); // 0 · NaN in the branch, as in PyTorch
  expect([...(await gradient(engine.where(engine.greater(x, 0), x, nan), x))]).toEqual([1, 0, 1]);
});

it.each(["training"] as const)("batch norm of a column of equal large numbers is 0 in %s", async (mode) => {
  for (const columns of [3, 4]) {
    const x = tensor(Array(7 * columns).fill(1000.1), [7, columns]);
    const statistics = {
      mean: device.zeros([columns]),
      variance: device.tensor(new Float32Array(columns).fill(1)),
      batches: device.zeros([1], "u32"),
    };
    const y = engine.batchNorm(x, { statistics, mode });
    expect(Math.max(...[...(await y.read())].map(Math.abs))).toBe(0);
  }
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

it.each([undefined, "subgroup", "shared", "portable"])(
  "nearest by %s puts NaN last and bounds infinities",
  async (variant) => {
    device.tuning.force("nearest", variant);
    const find = (metric: "cosine" | "dot") =>
      engine.nearest(tensor([1, 0.1, nan, 1], [2, 2]), tensor([1, 0, 0, 1, nan, 0, 1, 1, -1, 0, inf, 1], [6, 2]), {
        k: 6,
        metric,
      });
    expect([...(await find("dot").indices.read())]).toEqual([5, 3, 0, 1, 4, 2, 0, 1, 2, 3, 4, 5]);
    const [largest, , , , , last] = await find("dot").similarities.read();
    expect([largest, last]).toEqual([Math.fround(3.39e38), Math.fround(-3.39e38)]);
    expect([...(await find("cosine").indices.read())]).toEqual([0, 3, 1, 4, 2, 5, 0, 1, 2, 3, 4, 5]);
    device.tuning.force("nearest", undefined);
  },
);

it.skipIf(!device.features.has("shader-f16"))("numbers stand beside f16", async () => {
  const x = engine.cast(tensor([1, 2]), "f16");
  expect([...(await engine.greater(x, 1.5).read())]).toEqual([0, 1]);
  expect([...(await engine.cast(engine.where(engine.greater(x, 1.5), x, 1.5), "f32").read())]).toEqual([1.5, 2]);
  expect([...(await gradient(engine.cast(engine.maximum(x, 1.5), "f32"), x))]).toHaveLength(2);
});
