import { describe, expect, it } from "vitest";
import {
  add,
  detach,
  mul,
  recordProgram,
  reshape,
  rows,
  ShapeError,
  square,
  sum,
  type Tensor,
} from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const width = 64; // rows of 256 bytes, so that every row can be viewed
const ramp = Array.from({ length: 4 * width }, (_, i) => (i % 7) - 3);

/** The gradient of sum(f(w)) with respect to `w`, `[4, width]`, by rows. */
async function gradientOf(f: (w: Tensor) => Tensor, from: "state" | "input"): Promise<number[][]> {
  const step = recordProgram(device, (p) => {
    const w = from === "state" ? device.tensor(ramp, [4, width]) : p.input("w", [4, width]);
    const [dw = w] = p.gradients(sum(f(w)), [w]);
    return { dw };
  });
  const { dw } = await (await step.run(from === "state" ? {} : { w: ramp }, ["dw"])).read();
  return [0, 1, 2, 3].map((row) => [...dw.subarray(row * width, (row + 1) * width)]);
}

const zeros = Array<number>(width).fill(0);
const twos = Array<number>(width).fill(2);

describe.each(["state", "input"] as const)("rows of %s", (from) => {
  it("give their gradient to the rows that they are", async () => {
    expect(await gradientOf((w) => rows(mul(w, 2), 1, 3), from)).toEqual([zeros, twos, twos, zeros]);
    expect(await gradientOf((w) => mul(rows(w, 3, 4), 2), from)).toEqual([zeros, zeros, zeros, twos]);
    expect(await gradientOf((w) => rows(w, 0, 4), from)).toEqual([0, 1, 2, 3].map(() => Array(width).fill(1)));
  });

  it("of rows, reshaped, and used twice add up", async () => {
    const f = (w: Tensor): Tensor => {
      const inner = reshape(rows(rows(w, 1, 4), 0, 2), [2 * width]);
      return add(square(inner), inner);
    };
    const slope = (row: number): number[] => ramp.slice(row * width, (row + 1) * width).map((value) => 2 * value + 1);
    expect(await gradientOf(f, from)).toEqual([zeros, slope(1), slope(2), zeros]);
  });

  it("that are detached hand nothing on", async () => {
    const f = (w: Tensor): Tensor => mul(rows(w, 0, 1), detach(rows(w, 0, 1)));
    const first = ramp.slice(0, width);
    expect(await gradientOf(f, from)).toEqual([first, zeros, zeros, zeros]);
  });
});

it("takes no launch where no gradient is asked", () => {
  const step = recordProgram(device, (p) => ({ y: square(rows(p.input("w", [4, width]), 2, 3)) }));
  expect(step.program.commands).toHaveLength(1);
});

it("refuses a range that is outside or not aligned", () => {
  const w = device.zeros([4, 3]);
  expect(() => rows(w, 0, 5)).toThrow(ShapeError);
  expect(() => rows(w, 1, 2)).toThrow(/row 1 starts at byte 12, not a multiple of 256; use slice/);
});
