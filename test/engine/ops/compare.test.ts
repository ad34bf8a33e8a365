import { describe, expect, it } from "vitest";
import { DTypeError, type Tensor } from "../../../engine/index.ts";
import { equal, greater, greaterEqual, less, lessEqual, notEqual } from "../../../engine/ops/compare.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
type Operand = Tensor | number;
const cases: [string, (a: Operand, b: Operand) => Tensor, (a: number, b: number) => boolean][] = [
  ["equal", equal, (a, b) => a === b],
  ["notEqual", notEqual, (a, b) => a !== b],
  ["less", less, (a, b) => a < b],
  ["lessEqual", lessEqual, (a, b) => a <= b],
  ["greater", greater, (a, b) => a > b],
  ["greaterEqual", greaterEqual, (a, b) => a >= b],
];

describe.each(cases)("%s", (_name, run, reference) => {
  const columns = [-1, 0, 2.5];
  const rows = [0, 2.5];

  it("gives a u32 mask under broadcasting", async () => {
    const y = run(device.tensor(rows, [2, 1]), device.tensor(columns));
    expect(y.dtype).toBe("u32");
    expect([...(await y.read())]).toEqual(rows.flatMap((a) => columns.map((b) => Number(reference(a, b)))));
  });

  it("compares with a number and compares integers", async () => {
    expect([...(await run(device.tensor(columns), 0).read())]).toEqual(columns.map((a) => Number(reference(a, 0))));
    const big = 4294967295; // differs from 4294967294 in no f32
    const y = run(device.tensor([big, big - 1], [2], "u32"), big);
    expect([...(await y.read())]).toEqual([Number(reference(big, big)), Number(reference(big - 1, big))]);
  });
});

it("refuses operands of two types", () => {
  expect(() => equal(device.tensor([1]), device.tensor([1], [1], "u32"))).toThrow(DTypeError);
});
