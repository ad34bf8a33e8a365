import { afterAll, afterEach, describe, expect, it } from "vitest";
import * as engine from "../../../engine/index.ts";
import { batchNormStatistics } from "../../../engine/ops/batch_norm.ts";
import { foldGrid } from "../../../engine/ops/grid.ts";
import { randomSource } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

/** As the other device, with grids that have to be folded or strided over for a few hundred rows. */
class SmallGridDevice extends engine.Device {
  readonly #limits = new Proxy(this.gpu.limits, {
    get: (limits, name) => (name === "maxComputeWorkgroupsPerDimension" ? limit : Reflect.get(limits, name, limits)),
  });

  override get limits(): GPUSupportedLimits {
    return this.#limits;
  }
}

const wide = await testDevice();

/** Its cube holds the some thousand workgroups that keep a GPU busy (software is given 64), and each case takes more than it. */
const limit = wide.isSoftware ? 7 : 12;
const small = new SmallGridDevice(wide.gpu, { device: wide.gpu });
afterAll(() => small.close());

const random = randomSource(3);
const normal = Float32Array.from({ length: 2 ** 16 }, () => random() * 2 - 1);
const bank = Uint32Array.from({ length: 2 ** 12 }, (_, i) => (i * 7919) % 50);

interface Operands {
  values(...shape: number[]): engine.Tensor;
  numbers(...shape: number[]): engine.Tensor;
}

interface Case {
  /** Variants that the operation of this name is made to take one after the other. */
  readonly operation?: string;
  readonly run: (given: Operands, program: engine.Program) => engine.Tensor;
}

const cases: Readonly<Record<string, Case>> = {
  "matmul of many matrices": {
    operation: "matmul",
    run: ({ values }) => engine.matmul(values(60, 3, 8), values(60, 8, 5)),
  },
  "matmul of wide matrices in many parts": {
    operation: "matmul",
    run: ({ values }) => engine.matmul(values(5, 600), values(600, 96)),
  },
  "linear of many rows": {
    operation: "matmul",
    run: ({ values }) => engine.linear(values(1500, 8), values(12, 8), { bias: values(12), activation: "gelu" }),
  },
  "linear of many columns": {
    operation: "matmul",
    run: ({ values }) => engine.linear(values(9, 8), values(1100, 8), { bias: values(1100) }),
  },
  attention: {
    operation: "attention",
    run: ({ values }) => engine.attention(values(21, 40, 36), { heads: 3 }),
  },
  "attention of many heads": {
    operation: "attention",
    run: ({ values }) => engine.attention(values(3, 5, 120), { heads: 10 }),
  },
  "norm and linear": {
    operation: "norm_linear",
    run: ({ values }) =>
      engine.normLinear(values(150, 8), { weight: values(8), bias: values(8) }, values(320, 8), { bias: values(320) }),
  },
  "batch norm": {
    operation: "batch_norm",
    run: ({ values }, program) =>
      engine.batchNorm(values(6, 4000), { statistics: batchNormStatistics(program.device, 4000), mode: "training" }),
  },
  "layer norm": { operation: "layer_norm", run: ({ values }) => engine.layerNorm(values(900, 8)) },
  "gradient of layer norm": { operation: "layer_norm_grad", run: ({ values }) => engine.layerNorm(values(900, 8)) },
  "RMS norm": { operation: "rms_norm", run: ({ values }) => engine.rmsNorm(values(900, 8), values(8)) },
  softmax: { operation: "softmax", run: ({ values }) => engine.softmax(values(900, 8)) },
  "cross-entropy": {
    operation: "cross_entropy",
    run: ({ values, numbers }) => engine.crossEntropyPerRow(values(900, 60), numbers(900)),
  },
  "l2 normalisation": { operation: "l2_normalize", run: ({ values }) => engine.l2Normalize(values(900, 8)) },
  gather: { run: ({ values, numbers }) => engine.gather(values(50, 40), numbers(60)) },
  "scatter of rows": { run: ({ values, numbers }) => engine.scatterAdd(numbers(40), values(40, 600), 50) },
  elements: { run: ({ values }) => engine.gelu(engine.square(engine.add(values(5000), values(5000)))) },
  broadcasting: { run: ({ values }) => engine.mul(values(90, 30), values(90, 1)) },
  sums: { run: ({ values }) => engine.sum(values(700, 3, 5), { axes: [1] }) },
  maxima: { run: ({ values }) => engine.max(values(700, 5), { axes: [1] }) },
  permutation: { run: ({ values }) => engine.permute(values(30, 20, 10), [2, 0, 1]) },
  choice: { run: ({ values, numbers }) => engine.where(numbers(3000), values(3000), 1) },
  bounds: { run: ({ values }) => engine.clamp(values(3000), { low: -0.5, high: 0.5 }) },
  powers: { run: ({ values }) => engine.pow(engine.add(values(3000), 2), 1.5) },
  joining: { run: ({ values }) => engine.concat([values(700, 5), values(700, 4)], 1) },
  parts: { run: ({ values }) => engine.slice(values(700, 9), [undefined, [1, 8]]) },
  repetition: { run: ({ values }) => engine.expand(values(1, 5), [700, 5]) },
  "a change of size": { run: ({ values }) => engine.resizeGrid(values(2, 9, 9, 7), { rows: 20, columns: 21 }) },
  patches: { run: ({ values }) => engine.patchify(values(8, 3, 24, 24), { patchPixels: 4 }) },
  tokens: { run: ({ values }) => engine.assembleTokens(values(60, 9, 7), values(9, 7), values(1, 7)) },
  "a mask of samples": { run: ({ values }) => engine.dropPath(values(900, 5), 0.5, values(900)) },
  "squares of differences": { run: ({ values }) => engine.meanSquareError(values(900, 5), values(900, 5)) },
};

describe("grids over the limit of an axis", () => {
  afterEach(() => {
    for (const { operation } of Object.values(cases)) if (operation) small.tuning.force(operation, undefined);
  });

  it.each(Object.entries(cases))("%s, its gradient and all variants are folded and stay right", async (_name, test) => {
    const expected = await compute(wide, test);
    for (const variant of variantsOf(test)) {
      if (test.operation && variant) small.tuning.force(test.operation, variant);
      const folded = await compute(small, test);
      expect(folded.values.length).toBe(expected.values.length);
      const largest = Math.max(
        ...folded.values.map((value, i) => Math.abs(value - (expected.values[i] ?? Number.NaN))),
      );
      // Sums of some hundred products of at most 1, added in another order: 2^-24 each.
      expect(largest, variant ?? "the only variant").toBeLessThan(2e-4);
      expect(Math.max(...folded.groups.flat())).toBeLessThanOrEqual(limit);
      expect(Math.max(...expected.groups.flat())).toBeGreaterThan(limit);
    }
  });

  it.each<[string, (device: engine.Device) => Promise<ArrayLike<number>>]>([
    ["places of the largest", (device) => engine.argmax(device.tensor(normal.slice(0, 5000), [1000, 5])).read()],
    ["integers", (device) => engine.cast(engine.mul(device.tensor(normal.slice(0, 5001)), 1000), "i32").read()],
    [
      "bytes",
      (device) => engine.cast(engine.cast(device.tensor(bank.slice(0, 4001), [4001], "u32"), "u8"), "u32").read(),
    ],
    ["comparisons", (device) => engine.less(device.tensor(normal.slice(0, 5000)), 0.2).read()],
    [
      "counts",
      (device) =>
        engine.countNonFinite(engine.log(engine.abs(engine.full(device.program({ eager: true }), [5000], 0)))).read(),
    ],
    [
      "random numbers",
      (device) => engine.uniform(device.program({ eager: true }), [9000], { seed: 1, purpose: "x" }).read(),
    ],
    [
      "permutations",
      (device) => engine.permutation(device.program({ eager: true }), [90, 11], { seed: 1, purpose: "x" }).order.read(),
    ],
  ])("%s are the same", async (_name, compute) => {
    expect([...Array.from(await compute(small))]).toEqual([...Array.from(await compute(wide))]);
  });

  it("an update of a large arena is the same, with norm and average", async () => {
    const update = async (device: engine.Device): Promise<number[]> => {
      const blocks = 100;
      const size = blocks * engine.arenaBlockElements;
      const given = (from: number): engine.Tensor => device.tensor(normal.slice(from, from + size));
      const [parameters, others, gradients] = [given(0), given(0), given(size)];
      const states = [parameters, others, ...Array.from({ length: 6 }, () => device.zeros([size]))];
      const [firstMoment, secondMoment, average, velocity, total, follower] = states.slice(2);
      if (!firstMoment || !secondMoment || !average || !velocity || !total || !follower) throw new Error("no state");
      const tables = {
        blockGroups: device.tensor(new Uint32Array(blocks), [blocks], "u32"),
        groups: device.tensor([1, 0.1], [1, 2]),
        scalars: device.tensor(engine.stepScalars({ step: 1, learningRate: 0.1, beta1: 0.9, averageFactor: 0.5 })),
      };
      const step = engine.recordProgram(device, (program) => {
        const { norm } = engine.gradientNorm(program, [gradients]);
        engine.adamW(program, { parameters, gradients, firstMoment, secondMoment, average, ...tables });
        engine.sgd(program, { parameters: others, gradients, velocity, ...tables });
        engine.accumulate(program, total, gradients);
        engine.movingAverage(program, { average: follower, x: gradients, factor: 0.25 });
        return { norm };
      });
      const { norm } = await (await step.run({}, ["norm"])).read();
      const after = await Promise.all(states.map((state) => state.read()));
      return [...norm, ...after.flatMap((values) => [...values])];
    };
    expect(await update(small)).toEqual(await update(wide));
  });

  it("finds the nearest rows of many queries in many segments with every variant", async () => {
    const find = async (device: engine.Device): Promise<engine.HostArray> => {
      const queries = device.tensor(normal.slice(0, 900 * 4), [900, 4]);
      const rows = device.tensor(normal.slice(5000, 5000 + 5000 * 4), [5000, 4]);
      return engine.nearest(queries, rows, { k: 3 }).indices.read();
    };
    const expected = await find(wide);
    for (const variant of ["subgroup", "shared", "portable"]) {
      small.tuning.force("nearest", variant);
      expect(await find(small), variant).toEqual(expected);
    }
    small.tuning.force("nearest", undefined);
  });
});

describe("foldGrid", () => {
  it("leaves a grid that fits as it is", () => {
    expect(foldGrid(small, limit, 3, 2)).toEqual([limit, 3, 2]);
  });

  it("covers every workgroup of a larger one within the limit, with few to spare", () => {
    for (const [x, y, z] of [
      [limit + 1, 1, 1],
      [1, 50, 1],
      [3, 1, 101],
      [limit + 1, 6, 7],
    ] as const) {
      const folded = foldGrid(small, x, y, z);
      const total = folded[0] * folded[1] * folded[2];
      expect(Math.max(...folded)).toBeLessThanOrEqual(limit);
      expect(total).toBeGreaterThanOrEqual(x * y * z);
      expect(total).toBeLessThan(x * y * z + folded[1] * folded[2]);
    }
  });

  it("leaves what no folding can hold to the check of the program", () => {
    expect(() =>
      engine.recordProgram(small, (program) => ({
        y: engine.linear(engine.full(program, [2_000_000, 4], 1), engine.full(program, [4, 4], 1)),
      })),
    ).toThrow(engine.OverLimitError);
  });
});

function variantsOf({ operation }: Case): readonly (string | undefined)[] {
  const request = [...wide.tuning.requests.values()].find((known) => known.operation === operation);
  return request ? [...request.candidates, ...request.others] : [undefined];
}

/** The result of a case and the gradients of all its f32 operands, and the grids that were launched. */
async function compute(device: engine.Device, { run }: Case) {
  const operands: engine.Tensor[] = [];
  let groups: (readonly number[])[] = [];
  const step = engine.recordProgram(device, (program) => {
    let at = 0;
    const y = run(
      {
        values: (...shape) => {
          const size = shape.reduce((product, length) => product * length, 1);
          const x = device.tensor(normal.slice(at, at + size), shape);
          at += 100;
          operands.push(x);
          return x;
        },
        numbers: (size = 1) => device.tensor(bank.slice(0, size), [size], "u32"),
      },
      program,
    );
    const seed = device.tensor(normal.slice(0, y.size), y.shape);
    const gradients = program.gradients(y, operands, seed);
    groups = program.commands.flatMap((command) => (command.type === "dispatch" ? [command.workgroups] : []));
    return { y, ...Object.fromEntries(gradients.map((gradient, i) => [`g${i}`, gradient])) };
  });
  const names = ["y", ...operands.map((_, i) => `g${i}`)] as "y"[];
  const read: Record<string, engine.HostArray> = await (await step.run({}, names)).read();
  step.destroy();
  return { values: Object.values(read).flatMap((values) => [...values]), groups };
}
