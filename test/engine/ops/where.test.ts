import fc from "fast-check";
import { expect, it } from "vitest";
import { DTypeError } from "../../../engine/index.ts";
import { where } from "../../../engine/ops/where.ts";
import { checkGradient, checkOperation, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { broadcastTo } from "../../reference/broadcast.ts";

const device = await testDevice({ canaries: true });
const shape = [5, 3, 7];
const shapes = fc.record({
  mask: fc.constantFrom([5, 3, 7], [3, 1], [1], [5, 1, 7]),
  a: fc.constantFrom([5, 3, 7], [7], [5, 3, 1]),
  b: fc.constantFrom([5, 3, 7], [1, 3, 1]),
});
const drawn = fc.record({ shapes, seed: fc.integer() });
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;
const sizeOf = (lengths: readonly number[]) => lengths.reduce((product, length) => product * length, 1);
const operands = ({ shapes: { mask, a, b }, seed }: Drawn) => ({
  mask: {
    data: Uint32Array.from(valuesOf("normal", seed, sizeOf(mask)), (v) => (v > 0 ? 3 : 0)),
    shape: mask,
    dtype: "u32" as const,
  },
  a: { data: valuesOf("normal", seed ^ 1, sizeOf(a)), shape: a },
  b: { data: valuesOf("normal", seed ^ 2, sizeOf(b)), shape: b },
});
const evaluate = (given: Readonly<Record<string, Float64Array>>, { shapes: s }: Drawn) => {
  const a = broadcastTo(given.a ?? [], s.a, shape);
  const b = broadcastTo(given.b ?? [], s.b, shape);
  // the case is drawn such that the three shapes may broadcast to less than [5, 3, 7] only by lengths of 1
  return broadcastTo(given.mask ?? [], s.mask, shape).map((m, i) => (m === 0 ? (b[i] ?? 0) : (a[i] ?? 0)));
};
const full = ({ shapes: { mask, a, b } }: Drawn) => [mask, a, b].some((s) => s.join() === shape.join());

it("takes from a or b by the mask, under broadcasting", async () => {
  await checkOperation(device, {
    cases: drawn.filter(full),
    operands,
    run: (given) => ({ y: where(operand(given, "mask"), operand(given, "a"), operand(given, "b")) }),
    reference: (given, one) => ({ y: evaluate(given, one) }),
    bound: () => 0,
  });
});

it("passes the gradient to the side that was taken", async () => {
  await checkGradient(device, {
    cases: drawn.filter(full),
    operands,
    run: (given) => where(operand(given, "mask"), operand(given, "a"), operand(given, "b")),
    reference: evaluate,
    wrt: ["a", "b"],
  });
});

it("takes a number for either side and integers", async () => {
  const mask = device.tensor([1, 0], [2], "u32");
  expect([...(await where(mask, device.tensor([5, 6]), -1).read())]).toEqual([5, -1]);
  expect([...(await where(mask, 7, device.tensor([5, 6], [2], "u32")).read())]).toEqual([7, 6]);
});

it("asks for a u32 mask and one tensor", () => {
  expect(() => where(device.tensor([1]), device.tensor([1]), 0)).toThrow("where: mask is f32, expected u32; use cast");
  expect(() => where(device.tensor([1], [1], "u32"), 1, 0)).toThrow(DTypeError);
});
