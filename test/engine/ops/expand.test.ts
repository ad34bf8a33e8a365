import fc from "fast-check";
import { expect, it } from "vitest";
import { ShapeError } from "../../../engine/index.ts";
import { expand } from "../../../engine/ops/reduce.ts";
import { checkGradient, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { broadcastTo } from "../../reference/broadcast.ts";

const device = await testDevice({ canaries: true });
const drawn = fc.record({
  shape: fc.constantFrom<number[]>([1], [7], [3, 1], [2, 1, 1], [1, 3, 7], [2, 3, 7]),
  seed: fc.integer(),
});

it("repeats values along the axes of length 1, and its gradient adds them up", async () => {
  await checkGradient(device, {
    cases: drawn,
    operands: ({ shape, seed }) => ({
      x: {
        data: valuesOf(
          "normal",
          seed,
          shape.reduce((a, b) => a * b, 1),
        ),
        shape,
      },
    }),
    run: (given) => expand(operand(given, "x"), [2, 3, 7]),
    reference: ({ x = new Float64Array() }, { shape }) => broadcastTo(x, shape, [2, 3, 7]),
    wrt: ["x"],
  });
  expect([...(await expand(device.tensor([1, 2], [2, 1]), [2, 3]).read())]).toEqual([1, 1, 1, 2, 2, 2]);
});

it("refuses a shape that the values do not repeat to", () => {
  expect(() => expand(device.tensor([1, 2]), [3])).toThrow(ShapeError);
  expect(() => expand(device.tensor([1, 2]), [1])).toThrow(
    "expand: [2] does not repeat to [1]; lengths must be equal or 1",
  );
});
