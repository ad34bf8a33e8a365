import fc from "fast-check";
import { expect, it } from "vitest";
import { IndexError, RankError, recordProgram } from "../../../engine/index.ts";
import { slice } from "../../../engine/ops/slice.ts";
import { checkGradient, checkOperation, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { pasteReference, sliceReference } from "../../reference/movement.ts";

const device = await testDevice({ canaries: true });
const axis = fc
  .constantFrom(1, 2, 3, 4, 8, 13, 16)
  .chain((length) =>
    fc
      .tuple(fc.integer({ min: 0, max: length - 1 }), fc.integer({ min: 1, max: length }))
      .map(([from, count]) => ({ length, range: [from, Math.min(length, from + count)] as const })),
  );
const cases = fc.record({ axes: fc.array(axis, { minLength: 1, maxLength: 4 }), seed: fc.integer() });
const shapeOf = (axes: readonly { length: number }[]) => axes.map(({ length }) => length);
const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

it("slice takes exactly the box that its ranges name", async () => {
  await checkOperation(device, {
    cases,
    operands: ({ axes, seed }) => ({
      x: { data: valuesOf("normal", seed, size(shapeOf(axes))), shape: shapeOf(axes) },
    }),
    run: ({ x }, { axes }) => {
      if (!x) throw new Error("x is missing");
      return {
        y: slice(
          x,
          axes.map(({ range }) => range),
        ),
      };
    },
    reference: ({ x }, { axes }) => ({
      y: sliceReference(
        { shape: shapeOf(axes), data: [...(x ?? [])] },
        axes.map(({ range }) => range),
      ).data,
    }),
    bound: () => 0,
    runs: 40,
  });
});

it("the gradient of slice agrees with finite differences", async () => {
  await checkGradient(device, {
    cases,
    operands: ({ axes, seed }) => ({
      x: { data: valuesOf("normal", seed, size(shapeOf(axes))), shape: shapeOf(axes) },
    }),
    run: ({ x }, { axes }) => {
      if (!x) throw new Error("x is missing");
      return slice(
        x,
        axes.map(({ range }) => range),
      );
    },
    reference: ({ x }, { axes }) =>
      sliceReference(
        { shape: shapeOf(axes), data: [...(x ?? [])] },
        axes.map(({ range }) => range),
      ).data,
    wrt: ["x"],
  });
});

it("rows that start at 256 bytes are a view without a kernel, and still have a gradient", async () => {
  const step = recordProgram(device, (p) => {
    const x = p.input("x", [8, 32]);
    const y = slice(x, [[2, 5]]);
    const [dx] = p.gradients(y, [x], p.input("dy", [3, 32]));
    if (!dx) throw new Error("no gradient");
    return { y, dx };
  });
  const x = Float32Array.from({ length: 256 }, (_, i) => i);
  const dy = Float32Array.from({ length: 96 }, (_, i) => 1000 + i);
  const values = await (await step.run({ x, dy }, ["y", "dx"])).read();
  expect([...values.y]).toEqual([...x.slice(64, 160)]);
  const box = [
    [2, 5],
    [0, 32],
  ] as const;
  expect([...values.dx]).toEqual(pasteReference({ shape: [3, 32], data: [...dy] }, [8, 32], box).data);
  expect(step.program.commands.filter((command) => command.type === "dispatch")).toHaveLength(2); // both of the gradient
});

it("bytes are sliced by whole words, and other boxes are refused", async () => {
  const bytes = device.tensor(
    Uint8Array.from({ length: 32 }, (_, i) => i),
    [4, 8],
    "u8",
  );
  expect([...(await slice(bytes, [undefined, [4, 8]]).read())]).toEqual(
    [4, 12, 20, 28].flatMap((i) => [i, i + 1, i + 2, i + 3]),
  );
  expect(() => slice(bytes, [undefined, [1, 8]])).toThrow("cast to u32 first");
});

it("slice names the axis and the range that do not fit", () => {
  const x = device.tensor([1, 2, 3, 4, 5, 6], [2, 3]);
  expect(() => slice(x, [undefined, [1, 4]])).toThrow(
    new IndexError("slice: 1 … 4 is not a range of axis 1 of [2, 3]; expected 0 ≤ from < to ≤ 3"),
  );
  expect(() => slice(x, [[1, 1]])).toThrow(IndexError);
  expect(() => slice(x, [undefined, undefined, [0, 1]])).toThrow(RankError);
});
