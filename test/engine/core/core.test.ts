import { afterAll, beforeAll, expect, it } from "vitest";
import { add, type Device, full, nearest, openDevice, recordProgram, reshape } from "../../../engine/index.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ notice: () => {} });
});
afterAll(() => device.close());

it("reads back what was uploaded", async () => {
  const x = device.tensor([1, 2, 3, 4, 5, 6], [2, 3]);
  expect([...(await x.read())]).toEqual([1, 2, 3, 4, 5, 6]);
});

it("runs an eager recording on read", async () => {
  const x = device.tensor([1], [1]);
  const y = full(x.program, [3, 5], 2.5);
  expect([...(await y.read())]).toEqual(Array(15).fill(2.5));
  expect([...(await reshape(y, [-1]).read())]).toEqual(Array(15).fill(2.5));
});

it("replays a recorded program with a single submit", async () => {
  const step = recordProgram(device, (p) => {
    const x = p.input("x", [4]);
    return { y: full(p, [70000], 3), x };
  });
  const before = device.counters.submits;
  const result = await step.run({ x: [1, 2, 3, 4] }, ["y", "x"]);
  const { y, x } = await result.read();
  expect(device.counters.submits - before).toBe(1);
  expect([y.length, y[69999], ...x]).toEqual([70000, 3, 1, 2, 3, 4]);
  expect(step.print()).toContain("fill");
});

it("reads all results of one kernel, one after the other", async () => {
  const queries = device.tensor([1, 0, 0, 1], [2, 2]);
  const bank = device.tensor([0, 2, 3, 0, 1, 1], [3, 2]);
  const { similarities, indices } = nearest(queries, bank, { k: 1, metric: "dot" });
  const doubled = add(similarities, similarities);
  expect([...(await indices.read())]).toEqual([1, 0]);
  expect([...(await similarities.read())]).toEqual([3, 2]);
  expect([...(await doubled.read())]).toEqual([6, 4]);
});
