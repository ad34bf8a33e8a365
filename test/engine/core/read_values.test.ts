import { expect, it } from "vitest";
import {
  add,
  argmax,
  exp,
  gather,
  mul,
  nearest,
  recordProgram,
  reshape,
  square,
  sum,
  type Tensor,
} from "../../../engine/index.ts";
import { expectClose, toleranceOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const bound = toleranceOf(8); // exp may err by some units, some products and sums
const gradient = (y: Tensor, w: Tensor): Tensor => sum(y).program.gradients(sum(y), [w])[0] ?? w;

it("a value that was read hands its gradient on", async () => {
  const w = device.tensor([0.5, 1]);
  const y = exp(w);
  await y.read();
  const dw = await gradient(square(y), w).read(); // d exp(w)² = 2 exp(w)²
  expectClose("dw", dw, [2 * Math.exp(1), 2 * Math.exp(2)], bound);
});

it("a chain of values that were read, and of some that were not, keeps its gradient once", async () => {
  const w = device.tensor([0.5, 1]);
  const a = square(w);
  const b = mul(a, 3);
  await b.read();
  const c = add(b, a);
  await c.read();
  const y = mul(c, b); // (3a + a) 3a = 12 w⁴
  expectClose("dw", await gradient(y, w).read(), [48 * 0.125, 48], bound);
  expect([...(await y.read())]).toEqual([12 * 0.0625, 12]);
});

it("a value stays as it was read though the state behind it changes", async () => {
  const w = device.tensor([1, 2]);
  const y = exp(w);
  const before = await y.read();
  device.write(w, [0, 0]);
  const z = square(y);
  const dw = await gradient(z, w).read();
  expectClose("dw", dw, [2 * Math.exp(2), 2 * Math.exp(4)], bound);
  expectClose("own program", await gradient(y, w).read(), before, bound);
  expect(await y.read()).toEqual(before);
});

it("a result of a kernel with two stays as it was read while the other is computed later", async () => {
  const bank = device.tensor([1, 0, 0, 1], [2, 2]);
  const { similarities, indices } = nearest(device.tensor([2, 1], [1, 2]), bank, { k: 1, metric: "dot" });
  expect([...(await indices.read())]).toEqual([0]);
  device.write(bank, [0, 0, 0, 3]);
  expect([...(await similarities.read())]).toEqual([3]);
  expect([...(await indices.read())]).toEqual([0]);
});

it("a value that was read is differentiated in a recorded program, and in two of them", async () => {
  const w = device.tensor([0.5, 1]);
  const y = reshape(exp(w), [2, 1]);
  await y.read();
  for (let i = 0; i < 2; i++) {
    const step = recordProgram(device, (p) => {
      const [dw = w] = p.gradients(sum(square(y)), [w]);
      return { dw };
    });
    const results = step.program.tape.map(({ y: result }) => result.base);
    expect(results.filter((result) => result === y.base)).toHaveLength(1);
    expectClose("dw", (await (await step.run({}, ["dw"])).read()).dw, [2 * Math.exp(1), 2 * Math.exp(2)], bound);
  }
});

it("reading twice and merging later leaves every rule on the tape once", async () => {
  const w = device.tensor([2]);
  const a = square(w);
  const b = square(a);
  await b.read();
  const c = square(b); // of another program: it takes a copy of the rules of a and b
  const y = add(c, a); // now their own program is merged, too
  expect(new Set(y.program.tape).size).toBe(y.program.tape.length);
  expect(y.program.tape).toHaveLength(4);
  expect([...(await gradient(y, w).read())]).toEqual([8 * 128 + 4]); // d(w⁸ + w²)
});

it("an index that was read needs no gradient", async () => {
  const w = device.tensor([1, 5, 2], [3, 1]);
  const best = argmax(w, 0);
  await best.read();
  expect([...(await gradient(gather(w, best), w).read())]).toEqual([0, 1, 0]);
});

it("reading the result of an operation that checks indices leaves its recorded gradient to be computed", async () => {
  const w = device.tensor([1, 2, 3]);
  const y = gather(w, device.tensor([2, 0], [2], "u32"));
  const [dw = w] = y.program.gradients(sum(mul(y, device.tensor([5, 7]))), [w]);
  expect([...(await y.read())]).toEqual([3, 1]);
  expect([...(await dw.read())]).toEqual([7, 0, 5]); // was 0 everywhere: the read took the update of the flags for one of state
});
