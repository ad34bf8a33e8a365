import fc from "fast-check";
import { expect, it } from "vitest";
import { cumsum } from "../../../engine/index.ts";
import { checkGradient, checkOperation, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
const cases = fc.record({
  shape: fc.constantFrom([1], [63], [65], [4099], [3, 200], [200, 3], [2, 130, 5], [300, 40]),
  axis: fc.nat(2),
  backwards: fc.boolean(),
  exclusive: fc.boolean(),
  seed: fc.integer(),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;
const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);
const operands = ({ shape, seed }: Case) => ({ x: { data: valuesOf("normal", seed, size(shape)), shape } });
const optionsOf = ({ shape, axis, backwards, exclusive }: Case) => ({
  axis: axis % shape.length,
  backwards,
  exclusive,
});

function reference(x: ArrayLike<number>, drawn: Case): Float64Array {
  const { axis, backwards, exclusive } = optionsOf(drawn);
  const [inner, length] = [size(drawn.shape.slice(axis + 1)), drawn.shape[axis] ?? 1];
  const y = new Float64Array(x.length);
  for (let line = 0; line < x.length / length; line++) {
    let total = 0;
    for (let n = 0; n < length; n++) {
      const place = backwards ? length - 1 - n : n;
      const at = (Math.floor(line / inner) * length + place) * inner + (line % inner);
      const before = total;
      total += x[at] ?? 0;
      y[at] = exclusive ? before : total;
    }
  }
  return y;
}

it("running sums agree with float64, from either side", async () => {
  await checkOperation(device, {
    cases,
    operands,
    run: (given, drawn) => ({ y: cumsum(operand(given, "x"), optionsOf(drawn)) }),
    reference: ({ x = new Float64Array() }, drawn) => ({ y: reference(x, drawn) }),
    bound: () => 200 * roundOff, // chunks of 64, up to 65 of them, and 2 more passes; partial sums stay below about the largest
    floor: 4,
    runs: 25,
  });
});

it("running sums have the gradient of finite differences", async () => {
  await checkGradient(device, {
    cases,
    operands,
    run: (given, drawn) => cumsum(operand(given, "x"), optionsOf(drawn)),
    reference: ({ x = new Float64Array() }, drawn) => reference(x, drawn),
    wrt: ["x"],
    runs: 8,
  });
});

it("NaN and infinity spoil what follows", async () => {
  const y = await cumsum(device.tensor([1, Number.POSITIVE_INFINITY, 2, Number.NaN, 3])).read();
  expect([...y]).toEqual([1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NaN, Number.NaN]);
});
