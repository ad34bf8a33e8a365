import fc from "fast-check";
import { expect, it } from "vitest";
import { OptionError, ShapeError } from "../../../engine/index.ts";
import { type PatchOrder, patchify, unpatchify } from "../../../engine/ops/patchify.ts";
import { checkGradient, checkOperation, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { openFixture } from "../../fixture.ts";
import { operand } from "../../operand.ts";
import { build, valueAt } from "../../reference/movement.ts";

const device = await testDevice({ canaries: true });
const cases = fc.record({
  batch: fc.constantFrom(1, 3),
  channels: fc.constantFrom(1, 3, 4),
  gridRows: fc.constantFrom(1, 2, 5),
  gridColumns: fc.constantFrom(1, 3, 4),
  patchPixels: fc.constantFrom(1, 2, 3, 4, 14, 16),
  order: fc.constantFrom<PatchOrder>("channel-row-column", "row-column-channel"),
  seed: fc.integer(),
});
interface Case {
  readonly batch: number;
  readonly channels: number;
  readonly gridRows: number;
  readonly gridColumns: number;
  readonly patchPixels: number;
  readonly order: PatchOrder;
  readonly seed: number;
}
const imageShape = ({ batch, channels, gridRows, gridColumns, patchPixels }: Case) => [
  batch,
  channels,
  gridRows * patchPixels,
  gridColumns * patchPixels,
];
const images = (drawn: Case) => {
  const shape = imageShape(drawn);
  const size = shape.reduce((product, length) => product * length, 1);
  return { x: { data: valuesOf("normal", drawn.seed, size), shape } };
};
const reference = (x: ArrayLike<number>, drawn: Case): readonly number[] => {
  const { batch, channels, gridRows, gridColumns, patchPixels: side, order } = drawn;
  const grid = { shape: imageShape(drawn), data: Array.from(x) };
  return build([batch, gridRows * gridColumns, channels * side * side], ([b = 0, n = 0, v = 0]) => {
    const [c, r, s] =
      order === "channel-row-column"
        ? [Math.floor(v / (side * side)), Math.floor(v / side) % side, v % side]
        : [v % channels, Math.floor(v / (channels * side)), Math.floor(v / channels) % side];
    return valueAt(grid, [b, c, Math.floor(n / gridColumns) * side + r, (n % gridColumns) * side + s]);
  }).data;
};

it("patchify cuts images row by row in both orders, and unpatchify puts them together again", async () => {
  await checkOperation<Case>(device, {
    cases,
    operands: images,
    run: (operands, drawn) => {
      const patches = patchify(operand(operands, "x"), drawn);
      const [, channels = 1, heightPixels = 1, widthPixels = 1] = imageShape(drawn);
      return { patches, back: unpatchify(patches, { ...drawn, channels, heightPixels, widthPixels }) };
    },
    reference: ({ x = new Float64Array() }, drawn) => ({ patches: reference(x, drawn), back: x }),
    bound: () => 0,
    runs: 30,
  });
});

it("the gradient of patchify agrees with finite differences", async () => {
  await checkGradient<Case>(device, {
    cases,
    operands: images,
    run: (operands, drawn) => patchify(operand(operands, "x"), drawn),
    reference: ({ x = new Float64Array() }, drawn) => reference(x, drawn),
    wrt: ["x"],
  });
});

it("the channel-fastest order is that of the published MAE targets", async () => {
  const golden = await openFixture("mae");
  const [input, target] = [await golden("input"), await golden("target_patches")];
  const x = device.tensor(input.data, input.shape);
  const y = await patchify(x, { patchPixels: 4, order: "row-column-channel" }).read();
  expect(y).toEqual(target.data);
});

it("patchify refuses sides that are not multiples of the patch, and tells the remedy", () => {
  const x = device.zeros([1, 3, 32, 30]);
  expect(() => patchify(x, { patchPixels: 16 })).toThrow(
    new ShapeError("patchify: 32 × 30 pixels do not divide into patches of 16; resize or crop the images"),
  );
  expect(() => patchify(x, { patchPixels: 0 })).toThrow(OptionError);
  const patches = device.zeros([1, 4, 12]);
  const size = { channels: 3, heightPixels: 8, widthPixels: 8, patchPixels: 4 };
  expect(() => unpatchify(patches, size)).toThrow(ShapeError);
});
