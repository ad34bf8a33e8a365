import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  cast,
  flip,
  mul,
  OptionError,
  pad,
  roll,
  slice,
  split,
  stack,
  sum,
  type Tensor,
  tril,
  triu,
} from "../../../engine/index.ts";
import { valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { build, type Grid, valueAt } from "../../reference/movement.ts";

const device = await testDevice({ canaries: true });
const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);
const shapes = fc.constantFrom([1], [8], [5, 3], [4, 8], [2, 3, 4], [3, 16, 8], [2, 3, 1, 5]);

/** Runs a rearrangement on numbers of their own and compares; its gradient must bring weights back to where the numbers came from. */
async function expectMoved(
  shape: readonly number[],
  run: (x: Tensor) => Tensor,
  expected: (x: Grid) => Grid,
): Promise<void> {
  const data = Array.from({ length: size(shape) }, (_, i) => i + 1);
  const x = device.tensor(data, shape);
  const y = run(x);
  const moved = expected({ shape, data });
  expect(y.shape).toEqual(moved.shape);
  expect([...(await y.read())]).toEqual(moved.data);
  const weights = valuesOf("normal", 3, y.size);
  const [dx = x] = y.program.gradients(sum(mul(y, device.tensor(weights, y.shape))), [x]);
  const slopes = new Float32Array(x.size);
  moved.data.forEach((value, i) => {
    if (value > 0) slopes[value - 1] = weights[i] ?? 0;
  });
  expect([...(await dx.read())]).toEqual([...slopes]);
}

const property = <T>(drawn: fc.Arbitrary<T>, check: (one: T) => Promise<void>) =>
  fc.assert(fc.asyncProperty(drawn, check), { numRuns: 12 });

describe("rearranging", () => {
  it("flip turns the named axes around", () =>
    property(fc.tuple(shapes, fc.nat(15)), ([shape, chosen]) => {
      const axes = shape.flatMap((_, axis) => ((chosen >> axis) & 1 ? [axis] : []));
      return expectMoved(
        shape,
        (x) => flip(x, axes),
        (x) =>
          build(shape, (at) =>
            valueAt(
              x,
              at.map((i, axis) => (axes.includes(axis) ? (shape[axis] ?? 1) - 1 - i : i)),
            ),
          ),
      );
    }));

  it("roll moves elements around the ends", () =>
    property(
      fc.tuple(shapes, fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 })),
      ([shape, first, last]) => {
        const [shifts, axes] =
          shape.length > 1
            ? [
                [first, last],
                [0, -1],
              ]
            : [[first], [0]];
        const shiftOf = (axis: number) =>
          shifts[axes.findIndex((one) => (one + shape.length) % shape.length === axis)] ?? 0;
        return expectMoved(
          shape,
          (x) => roll(x, shifts, axes),
          (x) =>
            build(shape, (at) =>
              valueAt(
                x,
                at.map((i, axis) => {
                  const length = shape[axis] ?? 1;
                  return (((i - shiftOf(axis)) % length) + length) % length;
                }),
              ),
            ),
        );
      },
    ));

  it("pad puts a value around", () =>
    property(fc.tuple(shapes, fc.nat(3), fc.nat(3)), ([shape, before, behind]) => {
      const widths = shape.map((_, axis) => (axis === 0 ? ([before, behind] as const) : ([behind, 0] as const)));
      const padded = shape.map((length, axis) => length + (widths[axis]?.[0] ?? 0) + (widths[axis]?.[1] ?? 0));
      return expectMoved(
        shape,
        (x) => pad(x, widths, -2),
        (x) =>
          build(padded, (at) => {
            const from = at.map((i, axis) => i - (widths[axis]?.[0] ?? 0));
            return from.every((i, axis) => i >= 0 && i < (shape[axis] ?? 1)) ? valueAt(x, from) : -2;
          }),
      );
    }));

  it("slices with steps take every other element", () =>
    property(fc.tuple(shapes, fc.integer({ min: 1, max: 4 })), ([shape, step]) => {
      const taken = shape.map((length) => Math.ceil(length / step));
      return expectMoved(
        shape,
        (x) =>
          slice(
            x,
            shape.map((length) => [0, length, step] as const),
          ),
        (x) =>
          build(taken, (at) =>
            valueAt(
              x,
              at.map((i) => i * step),
            ),
          ),
      );
    }));

  it("tril and triu keep their side of the diagonal", () =>
    property(
      fc.tuple(
        shapes.filter(({ length }) => length > 1),
        fc.integer({ min: -3, max: 3 }),
      ),
      async ([shape, diagonal]) => {
        const side = (keeps: (beyond: number) => boolean) => (x: Grid) =>
          build(shape, (at) => (keeps((at.at(-1) ?? 0) - (at.at(-2) ?? 0) - diagonal) ? valueAt(x, at) : 0));
        await expectMoved(
          shape,
          (x) => tril(x, diagonal),
          side((beyond) => beyond <= 0),
        );
        await expectMoved(
          shape,
          (x) => triu(x, diagonal),
          side((beyond) => beyond >= 0),
        );
      },
    ));

  it("split cuts what stack and concat join", async () => {
    const x = device.tensor([1, 2, 3, 4, 5, 6], [2, 3]);
    const [left, right] = split(x, [1, 2], 1);
    expect([...((await left?.read()) ?? [])]).toEqual([1, 4]);
    expect([...((await right?.read()) ?? [])]).toEqual([2, 3, 5, 6]);
    const rows = split(x, 2);
    const again = stack(rows, -1);
    expect(again.shape).toEqual([1, 3, 2]);
    expect([...(await again.read())]).toEqual([1, 4, 2, 5, 3, 6]);
  });
});

it("tril drops NaN above the diagonal", async () => {
  const x = device.tensor([1, Number.NaN, 2, 3], [2, 2]);
  expect([...(await tril(x).read())]).toEqual([1, 0, 2, 3]);
});

it("tril and triu take diagonals that no i32 holds", async () => {
  const x = device.tensor([1, 2, 3, 4], [2, 2]);
  for (const beyond of [2 ** 31 - 1, 2 ** 31, 2 ** 40]) {
    expect([...(await tril(x, beyond).read())]).toEqual([1, 2, 3, 4]);
    expect([...(await tril(x, -beyond).read())]).toEqual([0, 0, 0, 0]);
    expect([...(await triu(x, beyond).read())]).toEqual([0, 0, 0, 0]);
    expect([...(await triu(x, -beyond).read())]).toEqual([1, 2, 3, 4]);
  }
});

it.skipIf(!device.features.has("shader-f16"))("rearranges half precision", async () => {
  const x = cast(device.tensor([1, 2, 3, 4], [2, 2]), "f16");
  const read = async (y: Tensor) => [...(await cast(y, "f32").read())];
  expect(await read(flip(x))).toEqual([4, 3, 2, 1]);
  expect(await read(roll(x, [1], [1]))).toEqual([2, 1, 4, 3]);
  expect(
    await read(
      pad(
        x,
        [
          [0, 0],
          [1, 0],
        ],
        9,
      ),
    ),
  ).toEqual([9, 1, 2, 9, 3, 4]);
  expect(await read(triu(x))).toEqual([1, 2, 0, 4]);
});

it("names what does not fit", () => {
  const x = device.zeros([2, 3]);
  expect(() => split(x, 2, 1)).toThrow(
    new OptionError(
      "split: parts 2 do not fill the 3 elements of axis 1 of [2, 3]; give positive lengths with that sum, or a number that divides it",
    ),
  );
  expect(() => pad(x, [[-1, 0]])).toThrow(
    "pad: a width is -1, expected a whole number from 0; use slice to take elements away",
  );
  expect(() => roll(x, [1], [0, 1])).toThrow(
    "roll: shifts [1] for the axes [0, 1], expected one whole number per axis",
  );
  expect(() => flip(x, [0, -2])).toThrow("flip: axes [0, -2] name an axis of [2, 3] twice");
  expect(() => slice(x, [[0, 2, 0]])).toThrow(
    "slice: step 0 of axis 0, expected a positive integer; flip turns an axis around",
  );
});
