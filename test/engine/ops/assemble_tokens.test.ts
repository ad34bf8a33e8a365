import fc from "fast-check";
import { expect, it } from "vitest";
import { ShapeError } from "../../../engine/index.ts";
import { assembleTokens } from "../../../engine/ops/assemble_tokens.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { checkGradient, checkOperation, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
interface Case {
  readonly images: number;
  readonly patches: number;
  readonly classes: number;
  readonly width: number;
  readonly seed: number;
}
const cases: fc.Arbitrary<Case> = fc.record({
  images: fc.constantFrom(1, 2, 7, 8, 9, 17),
  patches: fc.constantFrom(1, 4, 9),
  classes: fc.constantFrom(1, 2),
  width: fc.constantFrom(1, 3, 4, 12, 64),
  seed: fc.integer(),
});
const operands = ({ images, patches, classes, width, seed }: Case) => ({
  patches: { data: valuesOf("normal", seed, images * patches * width), shape: [images, patches, width] },
  positions: { data: valuesOf("normal", seed + 1, patches * width), shape: [1, patches, width] },
  classTokens: { data: valuesOf("normal", seed + 2, classes * width), shape: [classes, width] },
});
const reference = (values: Readonly<Record<string, Float64Array>>, { images, patches, classes, width }: Case) => {
  const { patches: x = [], positions = [], classTokens = [] } = values;
  const y: number[] = [];
  for (let b = 0; b < images; b++) {
    y.push(...classTokens);
    for (let i = 0; i < patches * width; i++)
      y.push((x[b * patches * width + i] ?? Number.NaN) + (positions[i] ?? Number.NaN));
  }
  return y.slice(0, images * (classes + patches) * width);
};

it("tokens are the class tokens followed by the patches with their positions", async () => {
  await checkOperation(device, {
    cases,
    operands,
    run: (tensors) => ({
      y: assembleTokens(operand(tensors, "patches"), operand(tensors, "positions"), operand(tensors, "classTokens")),
    }),
    reference: (values, drawn) => ({ y: reference(values, drawn) }),
    bound: () => roundOff, // one addition
  });
});

it("the gradients of patches, positions and class tokens agree with finite differences", async () => {
  await checkGradient(device, {
    cases,
    operands,
    run: (tensors) =>
      assembleTokens(operand(tensors, "patches"), operand(tensors, "positions"), operand(tensors, "classTokens")),
    reference,
    wrt: ["patches", "positions", "classTokens"],
    runs: 15,
  });
});

it("positions and class tokens may be left out", async () => {
  const patches = device.tensor([1, 2, 3, 4], [1, 2, 2]);
  expect([...(await assembleTokens(patches, undefined).read())]).toEqual([1, 2, 3, 4]);
  const token = device.tensor([7, 8], [1, 1, 2]);
  expect([...(await assembleTokens(patches, undefined, token).read())]).toEqual([7, 8, 1, 2, 3, 4]);
  expect([...(await assembleTokens(patches, device.tensor([1, 1, 1, 1], [1, 1, 2, 2])).read())]).toEqual([2, 3, 4, 5]);
});

it.skipIf(!device.features.has("shader-f16"))("f16 patches take f32 positions and give f16 tokens", async () => {
  const patches = cast(device.tensor([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 4]), "f16");
  const positions = device.tensor([0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25], [2, 4]);
  const y = assembleTokens(patches, positions, device.tensor([9, 9, 9, 9], [1, 4]));
  expect(y.dtype).toBe("f16");
  expect([...(await cast(y, "f32").read())]).toEqual([9, 9, 9, 9, 1.5, 2.5, 3.5, 4.5, 5.25, 6.25, 7.25, 8.25]);
});

it("assembleTokens names the operand whose shape does not fit", () => {
  const patches = device.zeros([2, 4, 8]);
  expect(() => assembleTokens(patches, device.zeros([3, 8]))).toThrow(
    new ShapeError("assembleTokens: positions (as rows) has shape [3, 8], expected [4, 8]"),
  );
  expect(() => assembleTokens(patches, undefined, device.zeros([1, 4]))).toThrow(ShapeError);
});
