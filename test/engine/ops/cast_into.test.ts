import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  Arena,
  cast,
  DTypeError,
  fillState,
  linear,
  recordProgram,
  ShapeError,
  type Tensor,
} from "../../../engine/index.ts";
import { narrowed, widened } from "../../../engine/ops/cast.ts";
import { castInto } from "../../../engine/ops/cast_into.ts";
import { valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const hasHalf = device.features.has("shader-f16");
const noHalf = `${device.info.name}: no shader-f16`;

describe("castInto", () => {
  for (const dtype of ["f32", "f16"] as const)
    it(`writes its place of ${dtype} state as cast would, and nothing beside it`, { timeout: 60_000 }, async ({
      skip,
    }) => {
      if (dtype === "f16" && !hasHalf) skip(noHalf);
      const cases = fc.record({
        before: fc.nat(70),
        count: fc.integer({ min: 1, max: 300 }),
        behind: fc.nat(70),
        seed: fc.nat(),
      });
      await fc.assert(
        fc.asyncProperty(cases, async ({ before, count, behind, seed }) => {
          const values = valuesOf("normal", seed, 4 * count);
          const target = device.zeros([4 * (before + count + behind)], dtype);
          const x = device.tensor(values);
          const step = recordProgram(device, (program) => {
            castInto(program, x, target, 4 * before);
            return {};
          });
          await step.run();
          const expected = new Array<number>(target.size).fill(0);
          (await cast(x, dtype).read()).forEach((value, i) => {
            expected[4 * before + i] = value;
          });
          expect(Array.from(await target.read())).toEqual(expected);
          step.destroy();
          for (const state of [target, x]) state.destroy();
        }),
        { numRuns: 20 },
      );
    });

  it("refuses places outside the target, parts of four elements, and types that it does not cast", () => {
    const program = device.program();
    const [x, y] = [device.zeros([8]), device.zeros([16])];
    expect(() => castInto(program, x, y, 12)).toThrow(ShapeError);
    expect(() => castInto(program, x, y, 2)).toThrow(/multiples of 4 inside of it/);
    expect(() => castInto(program, device.zeros([6]), y, 0)).toThrow(ShapeError);
    expect(() => castInto(program, device.zeros([8], "u32"), y, 0)).toThrow(DTypeError);
    expect(() => castInto(program, x, device.zeros([16], "u32"), 0)).toThrow(DTypeError);
  });
});

describe("a widened weight", () => {
  const [rows, inputs, outputs] = [12, 16, 20];
  const names = ["y", "dx", "dWeight", "dBias"] as const;

  /** A layer whose weight is f32 state, or kept in f16 and widened in the program. */
  async function layer(isKept: boolean) {
    const master = device.tensor(valuesOf("normal", 1, outputs * inputs), [outputs, inputs]);
    const kept = new Arena(
      device,
      "kept",
      [
        { name: "odd", shape: [3] },
        { name: "w", shape: [outputs, inputs] },
      ],
      "f16",
    );
    await recordProgram(device, (program) => {
      program.assign(kept.get("w"), cast(master, "f16"));
      return {};
    }).run();
    const bias = device.tensor(valuesOf("normal", 2, outputs));
    return recordProgram(device, (program) => {
      const weight = isKept ? widened(program, kept.get("w")) : master;
      const x = cast(program.input("x", [rows, inputs]), "f16");
      const y: Tensor = linear(x, weight, { bias, activation: "gelu" });
      const [dx = y, dWeight = y, dBias = y] = program.gradients(
        y,
        [x, weight, bias],
        cast(program.input("dy", y.shape), "f16"),
      );
      return { y, dx, dWeight, dBias };
    });
  }

  it("takes no launch of its own, and gives values and f32 gradients to the bit", { timeout: 60_000 }, async ({
    skip,
  }) => {
    if (!hasHalf) skip(noHalf);
    const [plain, kept] = [await layer(false), await layer(true)];
    const inputsOf = { x: valuesOf("normal", 3, rows * inputs), dy: valuesOf("normal", 4, rows * outputs) };
    expect(kept.outputs.dWeight.dtype).toBe("f32");
    expect(plain.stats.dispatches - kept.stats.dispatches).toBe(2); // the weight was rounded forward and backward
    const [expected, actual] = [
      await (await plain.run(inputsOf, names)).read(),
      await (await kept.run(inputsOf, names)).read(),
    ];
    expect(actual).toEqual(expected);
    expect(Array.from(expected.dWeight).some((value) => value !== 0)).toBe(true);
  });

  it("is narrowed to what it was made of, unless it was written since", ({ skip }) => {
    if (!hasHalf) skip(noHalf);
    const program = device.program();
    const kept = device.zeros([8], "f16");
    const weight = widened(program, kept);
    expect(narrowed(weight, "f16").storage).toBe(kept.storage);
    expect(narrowed(weight, "f32")).toBe(weight);
    fillState(program, weight, 1);
    expect(narrowed(weight, "f16").storage).not.toBe(kept.storage);
  });
});
