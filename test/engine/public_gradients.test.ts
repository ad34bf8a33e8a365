import { afterAll, beforeEach, describe, expect, it } from "vitest";
import * as files from "../../engine/files/index.ts";
import * as engine from "../../engine/index.ts";
import { EngineError, NoGradientError, type Program, recordProgram, sum, type Tensor } from "../../engine/index.ts";
import { randomSource } from "../../engine/testing/index.ts";
import { testDevice } from "../device.ts";

const device = await testDevice();
const words = (values: readonly number[]): Tensor => device.tensor(Uint32Array.from(values), [values.length], "u32");

/** f32 operands by shape, with the smallest and largest value that they are drawn from. */
type Operands = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly range?: readonly [number, number] }>
>;
type Given = Readonly<Record<string, Tensor>>;

interface Differentiable {
  readonly operands: Operands;
  /** The result depends on every operand, and has a gradient with respect to each. */
  readonly run: (operands: Given, program: Program) => Tensor;
  /** Of the difference. Default 2⁻⁷: in f32 it loses 7 of 24 bits, and the curve bends by step² / 6. */
  readonly step?: number;
}

/** Takes one operand of a case by name. */
const of =
  (...names: readonly string[]) =>
  (call: (...operands: Tensor[]) => Tensor) =>
  (given: Given): Tensor =>
    call(...names.map((name) => given[name] ?? device.zeros([1])));
const x = of("x");
const ab = of("a", "b");
const one = (shape: readonly number[], range?: readonly [number, number]): Operands => ({
  x: { shape, ...(range ? { range } : {}) },
});
const two = (a: readonly number[], b: readonly number[], range: readonly [number, number] = [0.5, 2]): Operands => ({
  a: { shape: a, range },
  b: { shape: b, range },
});
const positive = [0.5, 2] as const;

const differentiable: Readonly<Record<string, Differentiable>> = {
  abs: { operands: one([5], positive), run: x(engine.abs) },
  add: { operands: two([2, 3], [3]), run: ab(engine.add) },
  assembleTokens: {
    operands: { patches: { shape: [2, 3, 4] }, positions: { shape: [3, 4] }, classTokens: { shape: [1, 4] } },
    run: of("patches", "positions", "classTokens")(engine.assembleTokens),
  },
  attention: { operands: one([1, 3, 24]), run: x((qkv) => engine.attention(qkv, { heads: 2 })) },
  averagePool2d: {
    operands: one([1, 4, 5, 3]),
    run: x((values) => engine.averagePool2d(values, { window: 2, stride: [2, 1], padding: 1 })),
  },
  batchNorm: {
    operands: { x: { shape: [5, 4] }, weight: { shape: [4] }, bias: { shape: [4] } },
    run: of(
      "x",
      "weight",
      "bias",
    )((values, weight, bias) =>
      engine.batchNorm(values, {
        statistics: {
          mean: device.zeros([4]),
          variance: device.tensor([1, 1, 1, 1]),
          batches: device.zeros([1], "u32"),
        },
        mode: "training",
        weight,
        bias,
      }),
    ),
  },
  binaryCrossEntropy: { operands: two([2, 3], [2, 3], [0.1, 0.9]), run: ab((a, b) => engine.binaryCrossEntropy(a, b)) },
  cast: device.features.has("shader-f16")
    ? { operands: one([4]), run: x((values) => engine.cast(engine.cast(values, "f16"), "f32")), step: 0.5 }
    : { operands: one([4]), run: x((values) => engine.cast(values, "f32")) },
  checkpoint: {
    operands: one([4]),
    run: ({ x: values = device.zeros([1]) }, program) => engine.checkpoint(program, engine.square, values, []),
  },
  clamp: { operands: one([4], positive), run: x((values) => engine.clamp(values, { low: 0, high: 4 })) },
  concat: { operands: two([2, 3], [1, 3]), run: ab((a, b) => engine.concat([a, b])) },
  conv1d: {
    operands: { x: { shape: [2, 5, 4] }, weight: { shape: [6, 3, 2] }, bias: { shape: [6] } },
    run: of(
      "x",
      "weight",
      "bias",
    )((values, weight, bias) => engine.conv1d(values, weight, { bias, padding: 1, groups: 2 })),
  },
  conv2d: {
    operands: { x: { shape: [1, 5, 4, 4] }, weight: { shape: [4, 3, 2, 4] }, bias: { shape: [4] } },
    run: of(
      "x",
      "weight",
      "bias",
    )((values, weight, bias) => engine.conv2d(values, weight, { bias, stride: [2, 1], padding: 1, dilation: [1, 2] })),
  },
  cos: { operands: one([5]), run: x(engine.cos) },
  crossAttention: {
    operands: { q: { shape: [1, 3, 4] }, k: { shape: [1, 3, 4] }, v: { shape: [1, 3, 4] } },
    run: of("q", "k", "v")((q, k, v) => engine.crossAttention(q, k, v, { heads: 2, causal: true })),
  },
  crossEntropy: { operands: one([2, 3]), run: x((logits) => engine.crossEntropy(logits, words([2, 0]))) },
  crossEntropyPerRow: { operands: one([2, 3]), run: x((logits) => engine.crossEntropyPerRow(logits, words([2, 0]))) },
  cumsum: { operands: one([3, 5]), run: x((values) => engine.cumsum(values, { axis: 0 })) },
  div: { operands: two([2, 3], [2, 1]), run: ab(engine.div) },
  dropPath: { operands: two([2, 3], [2]), run: ab((a, b) => engine.dropPath(a, 0.5, b)) },
  dropout: {
    operands: one([16]),
    run: x((values) => engine.dropout(values, 0.5, { seed: 3, purpose: "dropout" })),
  },
  einsum: { operands: two([2, 3], [4, 3]), run: ab((a, b) => engine.einsum("ij,kj->ki", a, b)) },
  erf: { operands: one([5]), run: x(engine.erf) },
  exp: { operands: one([5]), run: x(engine.exp) },
  expand: { operands: one([1, 3]), run: x((values) => engine.expand(values, [2, 3])) },
  expm1: { operands: one([5]), run: x(engine.expm1) },
  flip: { operands: one([2, 3]), run: x((values) => engine.flip(values, [1])) },
  gather: { operands: one([3, 2]), run: x((table) => engine.gather(table, words([2, 0, 2]))) },
  gatherAlong: {
    operands: one([1, 3]),
    run: x((values) => engine.gatherAlong(values, engine.reshape(words([2, 0]), [1, 2]))),
  },
  gelu: { operands: one([5]), run: x(engine.gelu) },
  groupNorm: {
    operands: { x: { shape: [2, 3, 4] }, weight: { shape: [4] }, bias: { shape: [4] } },
    run: of("x", "weight", "bias")((values, weight, bias) => engine.groupNorm(values, 2, { weight, bias })),
  },
  huberLoss: { operands: two([2, 3], [2, 3]), run: ab((a, b) => engine.huberLoss(engine.mul(a, 4), b)) },
  klDivergence: { operands: two([2, 3], [2, 3], [0.2, 0.9]), run: ab(engine.klDivergence) },
  l2Normalize: { operands: one([2, 4]), run: x((values) => engine.l2Normalize(values)) },
  layerNorm: {
    operands: { x: { shape: [3, 8] }, weight: { shape: [8] }, bias: { shape: [8] } },
    run: of("x", "weight", "bias")((values, weight, bias) => engine.layerNorm(values, { weight, bias })),
  },
  linear: {
    operands: { x: { shape: [3, 4] }, weight: { shape: [8, 4] }, bias: { shape: [8] }, residual: { shape: [3, 8] } },
    run: of(
      "x",
      "weight",
      "bias",
      "residual",
    )((values, weight, bias, residual) => engine.linear(values, weight, { bias, activation: "gelu", residual })),
  },
  log: { operands: one([5], positive), run: x(engine.log) },
  log1p: { operands: one([5], positive), run: x(engine.log1p) },
  matmul: { operands: two([2, 3], [3, 4]), run: ab((a, b) => engine.matmul(a, b)) },
  max: { operands: one([2, 5]), run: x((values) => engine.max(values, { axes: [1] })) },
  maxPool2d: {
    operands: one([1, 4, 4, 3], [-8, 8]),
    run: x((values) => engine.maxPool2d(values, { window: 2 })),
  },
  maximum: {
    operands: { a: { shape: [4], range: [0, 1] }, b: { shape: [4], range: [2, 3] } },
    run: ab(both(engine.maximum)),
  },
  mean: { operands: one([2, 3]), run: x((values) => engine.mean(values, { axes: [0] })) },
  meanAbsoluteError: { operands: two([2, 3], [3]), run: ab((a, b) => engine.meanAbsoluteError(engine.add(a, 4), b)) },
  meanSquareError: { operands: two([2, 3], [2, 3]), run: ab(engine.meanSquareError) },
  min: { operands: one([2, 5]), run: x((values) => engine.min(values, { axes: [1] })) },
  minimum: {
    operands: { a: { shape: [4], range: [0, 1] }, b: { shape: [4], range: [2, 3] } },
    run: ab(both(engine.minimum)),
  },
  mul: { operands: two([2, 3], [2, 1]), run: ab(engine.mul) },
  neg: { operands: one([5]), run: x(engine.neg) },
  normLinear: {
    operands: {
      x: { shape: [3, 8] },
      scale: { shape: [8] },
      shift: { shape: [8] },
      weight: { shape: [4, 8] },
      bias: { shape: [4] },
    },
    run: of(
      "x",
      "scale",
      "shift",
      "weight",
      "bias",
    )((values, scale, shift, weight, bias) =>
      engine.normLinear(values, { weight: scale, bias: shift }, weight, { bias, activation: "gelu" }),
    ),
  },
  pad: { operands: one([2, 3]), run: x((values) => engine.pad(values, [[1, 0]], 2)) },
  patchify: { operands: one([1, 2, 4, 4]), run: x((images) => engine.patchify(images, { patchPixels: 2 })) },
  permute: { operands: one([2, 3, 4]), run: x((values) => engine.permute(values, [2, 0, 1])) },
  pow: { operands: two([4], [4]), run: ab(engine.pow) },
  prod: { operands: one([2, 3], positive), run: x((values) => engine.prod(values, { axes: [1] })) },
  reciprocal: { operands: one([5], positive), run: x(engine.reciprocal) },
  relu: { operands: one([5], positive), run: x((values) => engine.relu(engine.concat([values, engine.neg(values)]))) },
  reshape: { operands: one([2, 3]), run: x((values) => engine.reshape(values, [3, 2])) },
  resizeGrid: { operands: one([1, 2, 3, 4]), run: x((grid) => engine.resizeGrid(grid, { rows: 4, columns: 5 })) },
  rmsNorm: {
    operands: { x: { shape: [3, 8] }, weight: { shape: [8] } },
    run: of("x", "weight")((values, weight) => engine.rmsNorm(values, weight)),
  },
  roll: { operands: one([2, 3]), run: x((values) => engine.roll(values, [1], [1])) },
  rows: { operands: one([4, 64]), run: x((values) => engine.rows(values, 1, 3)) },
  rsqrt: { operands: one([5], positive), run: x(engine.rsqrt) },
  scaledSum: {
    operands: two([4, 3], [4, 3]),
    run: ab((a, b) => engine.scaledSum(a, b, { table: device.tensor([0.5, 2], [1, 2]), row: 0 })),
  },
  scatterAdd: { operands: one([3, 2]), run: x((values) => engine.scatterAdd(words([1, 0, 1]), values, 2)) },
  scatterAddAlong: {
    operands: one([1, 3]),
    run: x((values) => engine.scatterAddAlong(engine.reshape(words([1, 0, 1]), [1, 3]), values, 2)),
  },
  scatterAlong: { operands: two([3], [1]), run: ab((a, b) => engine.scatterAlong(a, words([1]), b)) },
  sigmoid: { operands: one([5]), run: x(engine.sigmoid) },
  silu: { operands: one([5]), run: x(engine.silu) },
  sin: { operands: one([5]), run: x(engine.sin) },
  slice: {
    operands: one([3, 4]),
    run: x((values) =>
      engine.slice(values, [
        [1, 3],
        [0, 2],
      ]),
    ),
  },
  softCrossEntropyPerRow: {
    operands: one([2, 3]),
    run: x((logits) => engine.softCrossEntropyPerRow(logits, device.tensor([1, 0, 0, 0.2, 0.3, 0.5], [2, 3]))),
  },
  softmax: { operands: one([2, 4]), run: x((values) => engine.softmax(values)) },
  softplus: { operands: one([5]), run: x(engine.softplus) },
  sort: { operands: one([2, 4], [-8, 8]), run: x((values) => engine.sort(values).values) },
  split: { operands: one([2, 3]), run: x((values) => engine.concat(engine.split(values, 2).reverse())) },
  sqrt: { operands: one([5], positive), run: x(engine.sqrt) },
  square: { operands: one([5]), run: x(engine.square) },
  stack: { operands: two([2, 3], [2, 3]), run: ab((a, b) => engine.stack([a, b], 1)) },
  standardDeviation: { operands: one([2, 5]), run: x((values) => engine.standardDeviation(values, { axes: [1] })) },
  sub: { operands: two([2, 3], [3]), run: ab(engine.sub) },
  sum: { operands: one([2, 3]), run: x((values) => engine.sum(values, { axes: [1] })) },
  tanh: { operands: one([5]), run: x(engine.tanh) },
  topK: { operands: one([2, 4], [-8, 8]), run: x((values) => engine.topK(values, 2).values) },
  transpose: { operands: one([2, 3]), run: x((values) => engine.transpose(values)) },
  tril: { operands: one([3, 3]), run: x((values) => engine.tril(values)) },
  triu: { operands: one([3, 3]), run: x((values) => engine.triu(values, 1)) },
  unpatchify: {
    operands: one([1, 4, 8]),
    run: x((patches) => engine.unpatchify(patches, { patchPixels: 2, channels: 2, heightPixels: 4, widthPixels: 4 })),
  },
  variance: { operands: one([2, 5]), run: x((values) => engine.variance(values, { axes: [1] })) },
  where: { operands: two([3], [3]), run: ab((a, b) => engine.where(words([1, 0, 1]), a, b)) },
};

/** Of two operands, of 0 … 1 and 2 … 3, each wins once, by more than a difference quotient moves them. */
function both(call: (a: Tensor, b: Tensor) => Tensor): (a: Tensor, b: Tensor) => Tensor {
  return (a, b) => engine.add(call(a, b), call(engine.add(a, 4), b));
}

/** Functions of `[4]` numbers that have no gradient: what they give cannot be differentiated. */
const refusing: Readonly<Record<string, (values: Tensor, program: Program) => Tensor>> = {
  argmax: (values) => engine.argmax(values, 0),
  argmin: (values) => engine.argmin(values, 0),
  cast: (values) => engine.cast(values, "i32"),
  ceil: engine.ceil,
  countNonFinite: engine.countNonFinite,
  equal: (values) => engine.equal(values, 1),
  floor: engine.floor,
  gradientNorm: (values, program) => engine.gradientNorm(program, [values]).norm,
  greater: (values) => engine.greater(values, 1),
  greaterEqual: (values) => engine.greaterEqual(values, 1),
  isNan: engine.isNan,
  less: (values) => engine.less(values, 1),
  lessEqual: (values) => engine.lessEqual(values, 1),
  nearest: (values) => engine.nearest(engine.reshape(values, [1, 4]), device.zeros([2, 4]), { k: 1 }).similarities,
  "nearest, of the bank": (values) =>
    engine.nearest(device.zeros([2, 4]), engine.reshape(values, [1, 4]), { k: 1 }).similarities,
  notEqual: (values) => engine.notEqual(values, 1),
  round: engine.round,
  sign: engine.sign,
};

/** What is no function of a tensor that could have a gradient. */
const others: Readonly<Record<string, readonly string[]>> = {
  "cuts the gradient, as its name says": ["detach"],
  "gives a tensor without values, or a program": ["emptyLike", "programOf"],
  "stands for weights that are constants where they are made": ["widened"],
  "makes a tensor from numbers and a key": ["full", "normal", "permutation", "randomBits", "uniform"],
  "writes state and returns nothing, or what steers the next update": [
    "accumulate",
    "adamW",
    "castInto",
    "fillState",
    "movingAverage",
    "sgd",
    "sgdGrid",
    "stepControl",
  ],
  "tells the bits of state apart, which are no numbers": ["tensorHashes"],
  "checks or describes shapes": [
    "checkDType",
    "checkRank",
    "checkSameShape",
    "checkShape",
    "matrixShape",
    "resolveAxis",
    "rowsAndColumns",
    "showShape",
    "sizeOf",
  ],
  "computes on the host": [
    "hostBits",
    "hostNormal",
    "hostPermutation",
    "hostTensorHash",
    "hostUniform",
    "lossScaleValues",
    "philox",
    "readLossScale",
    "stepScalars",
  ],
  "is a class, or opens, records, compiles or measures": [
    "Arena",
    "Device",
    "PlanningDevice",
    "Program",
    "RecordedProgram",
    "programDigest",
    "StagingSlot",
    "Tensor",
    "Workspace",
    "defineKernel",
    "loadTuning",
    "measurePeaks",
    "openDevice",
    "recordProgram",
    "shaderText",
    "trialAllocation",
    "tuneProgram",
  ],
};

it("every public function is known to have a gradient, to refuse one, or to be no function of a tensor", () => {
  const isError = (value: unknown): boolean =>
    value === EngineError || (typeof value === "function" && value.prototype instanceof EngineError);
  const functions = Object.entries(engine).flatMap(([name, value]) =>
    typeof value === "function" && !isError(value) && !(name in files) ? [name] : [],
  );
  const refused = Object.keys(refusing).map((name) => name.replace(/,.*/, ""));
  const placed = new Set([...Object.keys(differentiable), ...refused, ...Object.values(others).flat()]);
  expect([...placed].sort()).toEqual(functions.sort());
});

/** Begins anew for each test, so that no operation's numbers depend on the others. */
let random = randomSource(7);
beforeEach(() => {
  random = randomSource(7);
});
const draw = (count: number, [low, high]: readonly [number, number] = [-1.5, 1.5]): Float32Array =>
  Float32Array.from({ length: count }, () => low + (high - low) * random());

interface Host {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
  /** Along which the slope is measured. */
  readonly direction: Float32Array;
}

function drawOperands(operands: Operands): Host[] {
  return Object.entries(operands).map(([name, { shape, range }]) => {
    const count = shape.reduce((product, length) => product * length, 1);
    return { name, shape, values: draw(count, range), direction: draw(count, [-1, 1]) };
  });
}

/** Compares the recorded gradients `g0`, `g1`, … with the slopes of the recorded loss along the directions. */
async function expectSlopes(
  step: engine.RecordedProgram<{ loss: Tensor }>,
  hosts: readonly Host[],
  states: readonly Tensor[],
  t: number,
): Promise<void> {
  const names = states.map((_, i) => `g${i}` as "loss");
  const gradients = await (await step.run({}, names)).read();
  const lossAt = async (at: number, t: number): Promise<number> => {
    const { values, direction } = hosts[at] ?? { values: new Float32Array(), direction: new Float32Array() };
    const [state] = states.slice(at);
    if (state)
      device.write(
        state,
        values.map((value, i) => value + t * (direction[i] ?? 0)),
      );
    const { loss } = await (await step.run({}, ["loss"])).read();
    if (state) device.write(state, values);
    return loss[0] ?? Number.NaN;
  };
  for (const [at, { name, direction }] of hosts.entries()) {
    const gradient = gradients[`g${at}` as "loss"];
    const terms = direction.map((along, i) => along * (gradient[i] ?? Number.NaN));
    const expected = terms.reduce((total, term) => total + term, 0);
    const scale = terms.reduce((total, term) => total + Math.abs(term), 0);
    const slope = ((await lossAt(at, t)) - (await lossAt(at, -t))) / (2 * t);
    expect(scale, name).toBeGreaterThan(0);
    // A missing path is an error of the order of 1; what the operations' own tests bound sharply is not repeated here.
    expect(Math.abs(slope - expected) / Math.max(scale, 0.05), name).toBeLessThan(0.02);
  }
  step.destroy();
}

/** Gradients that cannot be differentiated again, by the operation that the error names. */
const refusingTwice: Readonly<Record<string, string>> = {
  attention: "attention",
  batchNorm: "batchNorm",
  checkpoint: "square",
  crossEntropy: "crossEntropy",
  crossEntropyPerRow: "crossEntropy",
  groupNorm: "layerNorm",
  l2Normalize: "l2Normalize",
  layerNorm: "layerNorm",
  maxPool2d: "maxPool2d",
  normLinear: "(normLinear|layerNorm)", // where it is not one kernel, the norm lacks the rule
  rmsNorm: "rmsNorm",
  softCrossEntropyPerRow: "softCrossEntropy",
};

describe("gradients", () => {
  it.each(Object.entries(differentiable))(
    "of %s are the slopes that are measured",
    async (_name, { operands, run, step: t = 2 ** -7 }) => {
      const hosts = drawOperands(operands);
      const states = hosts.map(({ name, shape, values }) => device.tensor(values, shape, "f32", name));
      const given = Object.fromEntries(hosts.map(({ name }, i) => [name, states[i] ?? device.zeros([1])]));
      const weights = draw(4096);
      const step = recordProgram(device, (program) => {
        const y = run(given, program);
        const weighted = engine.mul(y, device.tensor(weights.subarray(0, y.size), y.shape));
        const loss = sum(weighted);
        const gradients = program.gradients(loss, states);
        return { loss, ...Object.fromEntries(gradients.map((gradient, i) => [`g${i}`, gradient])) };
      });
      await expectSlopes(step, hosts, states, t);
    },
  );

  it.each(Object.entries(differentiable))(
    "of gradients of %s are the slopes that are measured, or are refused by name",
    async (name, { operands, run, step: t = 2 ** -7 }) => {
      const hosts = drawOperands(operands);
      const states = hosts.map(({ name, shape, values }) => device.tensor(values, shape, "f32", name));
      const given = Object.fromEntries(hosts.map(({ name }, i) => [name, states[i] ?? device.zeros([1])]));
      const weights = draw(4096);
      const weighted = (x: Tensor): Tensor =>
        sum(engine.mul(engine.square(x), device.tensor(weights.subarray(0, x.size), x.shape)));
      const record = () =>
        recordProgram(device, (program) => {
          // A penalty on gradients: the square makes those of linear operations depend on the operands, too.
          const slopes = program.gradients(weighted(run(given, program)), states);
          const penalty = slopes.map(weighted).reduce((total, one) => engine.add(total, one));
          const gradients = program.gradients(penalty, states);
          return { loss: penalty, ...Object.fromEntries(gradients.map((gradient, i) => [`g${i}`, gradient])) };
        });
      const refuses = refusingTwice[name];
      if (refuses) {
        expect(record).toThrow(NoGradientError);
        expect(record).toThrow(new RegExp(`of the operation ${refuses}, which states no gradient`));
        return;
      }
      await expectSlopes(record(), hosts, states, t);
    },
  );

  it.each(Object.entries(refusing))("of %s are refused", (_name, run) => {
    recordProgram(device, (program) => {
      const values = device.tensor([0.5, 1, 2, -3]);
      const result = run(values, program);
      const seed = engine.full(program, result.shape, 1);
      expect(() => program.gradients(result, [values], seed)).toThrow(NoGradientError);
      expect(() => program.gradients(result, [values], seed)).toThrow(/states no gradient/);
      return {};
    });
  });
});

afterAll(() => device.close());
