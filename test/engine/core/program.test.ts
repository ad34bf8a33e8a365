import { expect, it } from "vitest";
import {
  add,
  argmax,
  gather,
  gelu,
  linear,
  matmul,
  mean,
  mul,
  recordProgram,
  square,
  sum,
  type Tensor,
} from "../../../engine/index.ts";
import { expectClose, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { countGpuCalls } from "../run/gpu_calls.ts";

const device = await testDevice();
const ramp = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => i / count);

it("merges recordings that began apart into one run", async () => {
  const a = square(device.tensor([1, 2, 3]));
  const b = square(device.tensor([2, 2, 2]));
  const y = add(a, b);
  expect(a.program).toBe(b.program);
  expect([...(await y.read())]).toEqual([5, 8, 13]);
});

it("keeps a value that was read, and computes the others of its recording later", async () => {
  const a = square(device.tensor([3]));
  const b = add(a, 1);
  expect([...(await b.read())]).toEqual([10]);
  expect([...(await a.read())]).toEqual([9]);
  expect([...(await b.read())]).toEqual([10]);
  expect([...(await mul(b, a).read())]).toEqual([90]);
});

it("updates state just once however often an eager recording is read", async () => {
  const state = device.tensor([1]);
  const y = add(state, 1);
  y.program.assign(state, y);
  expect([...(await y.read())]).toEqual([2]);
  expect([...(await square(y).read())]).toEqual([4]);
  expect([...(await state.read())]).toEqual([2]);
});

it("takes outputs and losses that were computed from state alone into the program", async () => {
  const w = device.tensor([2, 3]);
  const program = recordProgram(device, (p) => {
    const loss = sum(square(w));
    const [gradient = w] = p.gradients(loss, [w]);
    return { loss, gradient, doubled: add(w, w) };
  });
  const values = await (await program.run({}, ["loss", "gradient", "doubled"])).read();
  expect([...values.loss, ...values.gradient, ...values.doubled]).toEqual([13, 4, 6, 4, 6]);
});

it("sums the gradients of a tensor that is used several times", async () => {
  const w = device.tensor([3]);
  const program = recordProgram(device, (p) => {
    const y = add(mul(w, w), mul(w, 5));
    const [dw = w] = p.gradients(sum(y), [w]);
    return { dw };
  });
  expect((await (await program.run({}, ["dw"])).read()).dw[0]).toBe(11);
});

it("gives zeros as the gradient of what the loss does not depend on", async () => {
  const [w, other] = [device.tensor([3]), device.tensor([1, 2])];
  const program = recordProgram(device, (p) => {
    const [, dOther = w] = p.gradients(sum(w), [w, other]);
    return { dOther };
  });
  expect([...(await (await program.run({}, ["dOther"])).read()).dOther]).toEqual([0, 0]);
});

it("refuses gradients of a loss with several elements", () => {
  const w = device.tensor([1, 2]);
  expect(() => recordProgram(device, (p) => ({ dw: p.gradients(w, [w])[0] ?? w }))).toThrow(/expected one element/);
});

it("reads an output again and again, and other outputs after the run", async () => {
  const program = recordProgram(device, (p) => {
    const x = p.input("x", [3]);
    return { y: square(x), z: add(x, 1) };
  });
  const readback = await program.run({ x: [1, 2, 3] }, ["y"]);
  expect([...(await readback.read()).y]).toEqual([1, 4, 9]);
  expect([...(await readback.read()).y]).toEqual([1, 4, 9]);
  expect([...(await program.outputs.z.read())]).toEqual([2, 3, 4]);
  expect([...(await program.outputs.y.read())]).toEqual([1, 4, 9]);
});

it("hands out the values of each run though several are on their way", async () => {
  const program = recordProgram(device, (p) => ({ y: square(p.input("x", [1])) }));
  const runs = [];
  for (let i = 1; i <= 24; i++) runs.push(await program.run({ x: [i] }, ["y"]));
  const values = await Promise.all(runs.map(async (run) => (await run.read()).y[0]));
  expect(values).toEqual(Array.from({ length: 24 }, (_, i) => (i + 1) ** 2));
});

it("reuses staging buffers of sequential reads", async () => {
  const program = recordProgram(device, (p) => ({ y: square(p.input("x", [1000])) }));
  const once = async () => (await program.run({ x: ramp(1000) }, ["y"])).read();
  await once();
  const calls = countGpuCalls(device);
  for (let i = 0; i < 5; i++) await once();
  expect(calls.createBuffer).toBe(0);
  expect(calls.submit).toBe(5);
});

it("reads types of one and two bytes with odd lengths", async () => {
  expect([...(await device.tensor([1, 2, 255], [3], "u8").read())]).toEqual([1, 2, 255]);
  const halves = device.tensor(new Uint16Array([0x3c00, 0x4000, 0xc000]), [3], "f16");
  expect([...(await halves.read())]).toEqual([0x3c00, 0x4000, 0xc000]);
});

it("prints every command with shapes, sizes and totals that agree with its statistics", () => {
  const program = recordProgram(device, (p) => {
    const x = p.input("x", [16, 32]);
    return { y: mean(gelu(linear(x, device.zeros([8, 32])))) };
  });
  const { dispatches, flops, bytesRead, bytesWritten, inputBytes, submits } = program.stats;
  expect(flops).toBeGreaterThanOrEqual(2 * 16 * 32 * 8);
  expect(inputBytes).toBe(16 * 32 * 4);
  expect(bytesRead).toBeGreaterThanOrEqual(16 * 32 * 4 + 8 * 32 * 4);
  expect(bytesWritten).toBeGreaterThanOrEqual(16 * 8 * 4);
  expect(submits).toBe(1);
  const lines = program.print().split("\n");
  expect(lines.length).toBe(dispatches + 2);
  expect(lines[0]).toMatch(/matmul.*\[16, 32\].*GFLOP/);
  expect(lines.at(-2)).toContain(`${dispatches} dispatches`);
});

it.skipIf(!device.features.has("timestamp-query"))(
  "measures the GPU time of every kernel of a long program",
  async () => {
    const program = recordProgram(device, (p) => {
      let y: Tensor = p.input("x", [64, 64]);
      for (let i = 0; i < 100; i++) y = matmul(y, y);
      return { y };
    });
    const [row, ...rest] = await program.profile({ x: valuesOf("normal", 1, 4096).map((value) => value / 64) });
    expect(rest).toEqual([]);
    expect(row?.launches).toBe(100);
    expect(row?.milliseconds).toBeGreaterThan(0);
  },
);

it("follows gradient descent in float64", async () => {
  const start = valuesOf("normal", 3, 4);
  const w = device.tensor(start, [1, 4]);
  const program = recordProgram(device, (p) => {
    const x = p.input("x", [8, 4]);
    const loss = mean(square(linear(x, w)));
    const [dw = w] = p.gradients(loss, [w]);
    p.assign(w, add(w, mul(dw, -0.1)));
    return { loss };
  });
  const expected = Float64Array.from(start);
  for (let step = 0; step < 5; step++) {
    const x = valuesOf("normal", 10 + step, 32);
    await program.run({ x });
    const y = Array.from({ length: 8 }, (_, r) => expected.reduce((s, value, c) => s + value * (x[4 * r + c] ?? 0), 0));
    for (let c = 0; c < 4; c++)
      expected[c] = (expected[c] ?? 0) - 0.1 * (2 / 8) * y.reduce((s, value, r) => s + value * (x[4 * r + c] ?? 0), 0);
  }
  // per step: dot of 4, square, sum of 8, product, update: under 20 roundings
  expectClose("w", await w.read(), expected, toleranceOf(5 * 20));
});

it("an inference program keeps no tape", () => {
  const program = recordProgram(device, (p) => ({ y: gelu(p.input("x", [4])) }), { inference: true });
  expect(program.program.tape).toEqual([]);
});

it("index results feed index operands", async () => {
  const table = device.tensor([10, 20, 30], [3, 1]);
  const best = argmax(device.tensor([0, 5, 1, 9, 2, 3], [2, 3]));
  expect([...(await gather(table, best).read())]).toEqual([20, 10]);
});
