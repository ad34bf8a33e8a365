import { describe, expect, it } from "vitest";
import { checkpoint } from "../../../engine/core/gradient_checkpointing.ts";
import { add, linear, mul, OptionError, type Program, recordProgram, sum, type Tensor } from "../../../engine/index.ts";
import { valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const [rows, width, hidden] = [24, 16, 64];
const values = (seed: number, shape: readonly number[], name: string): Tensor =>
  device.tensor(
    valuesOf(
      "normal",
      seed,
      shape.reduce((size, length) => size * length, 1),
    ),
    shape,
    "f32",
    name,
  );
const pair = (seed: number) => ({
  first: values(seed, [hidden, width], "first"),
  second: values(seed + 1, [width, hidden], "second"),
});
const weights = [pair(1), pair(3), pair(5), pair(7)] as const;
const parameters = weights.flatMap(({ first, second }) => [first, second]);

/** A stack of residual MLPs; `region` decides how each is recorded. Returns the gradients of its parameters and input. */
function record(region: (program: Program, forward: (x: Tensor) => Tensor, x: Tensor, own: Tensor[]) => Tensor) {
  return recordProgram(device, (program) => {
    const start = program.input("x", [rows, width]);
    const y = weights.reduce<Tensor>((x, { first, second }) => {
      const forward = (value: Tensor): Tensor =>
        add(value, linear(linear(value, first, { activation: "gelu" }), second));
      return region(program, forward, x, [first, second]);
    }, start);
    const gradients = program.gradients(sum(mul(y, y)), [...parameters, start]);
    return { y, ...Object.fromEntries(gradients.map((gradient, i): [string, Tensor] => [`gradient${i}`, gradient])) };
  });
}

describe("checkpoint", () => {
  const kept = record((_, forward, x) => forward(x));
  const recomputed = record(checkpoint);

  it("changes no bit of results and gradients", async () => {
    const x = valuesOf("normal", 99, rows * width);
    const names = ["y", ...[...parameters, x].map((_, i) => `gradient${i}`)].slice(0, parameters.length + 2);
    const read = async (recorded: typeof kept) => (await recorded.run({ x }, names as "y"[])).read();
    const [expected, actual] = [await read(kept), await read(recomputed)];
    expect(actual).toEqual(expected);
    expect(Array.from(expected.y).some((value) => value !== 0)).toBe(true);
  });

  it("changes no bit where what enters a region is used elsewhere, too", async () => {
    const forward = (x: Tensor, at: number): Tensor => {
      const { first, second } = weights[at] ?? weights[0];
      return add(x, linear(linear(x, first, { activation: "gelu" }), second));
    };
    const tapped = (recomputes: boolean) =>
      recordProgram(device, (program) => {
        const start = program.input("x", [rows, width]);
        const taps = [start];
        for (const [at, { first, second }] of weights.entries()) {
          const x = taps.at(-1) ?? start;
          taps.push(
            recomputes ? checkpoint(program, (value) => forward(value, at), x, [first, second]) : forward(x, at),
          );
        }
        // The middle ones reach the loss by a third path, whose gradient arrives before those of the next region.
        const loss = taps
          .slice(1)
          .reduce<Tensor>((total, tap, i) => add(total, sum(mul(mul(tap, tap), i + 0.3))), sum(start));
        const gradients = program.gradients(loss, [...parameters, start]);
        return Object.fromEntries(gradients.map((gradient, i): [string, Tensor] => [`gradient${i}`, gradient]));
      });
    const names = [...parameters, 0].map((_, i) => `gradient${i}`);
    const x = valuesOf("normal", 98, rows * width);
    const [expected, actual] = [
      await (await tapped(false).run({ x }, names)).read(),
      await (await tapped(true).run({ x }, names)).read(),
    ];
    expect(actual).toEqual(expected);
  });

  it("keeps only what enters each region", () => {
    // Per region beside its input: the pre-activation, [rows, hidden], unless it is recomputed.
    const peak = (count: number, region: typeof checkpoint) => {
      const recorded = recordProgram(device, (program) => {
        const start = program.input("x", [rows, width]);
        const [{ first, second }] = weights;
        let y = start;
        for (let i = 0; i < count; i++) {
          const forward = (x: Tensor): Tensor => add(x, linear(linear(x, first, { activation: "gelu" }), second));
          y = region(program, forward, y, [first, second]);
        }
        const [gradient = start] = program.gradients(sum(mul(y, y)), [start]);
        return { gradient };
      });
      return recorded.stats.lowerBoundBytes;
    };
    const growth = (region: typeof checkpoint): number => (peak(9, region) - peak(3, region)) / 6;
    expect(growth((_, forward, x) => forward(x))).toBeGreaterThanOrEqual(rows * hidden * 4);
    expect(growth(checkpoint)).toBeLessThanOrEqual(rows * width * 4);
  });

  it("differentiates only with respect to what is wanted", () => {
    const flopsFor = (targets: readonly Tensor[]) =>
      recordProgram(device, (program) => {
        const [first] = weights;
        const forward = (x: Tensor): Tensor => linear(linear(x, first.first, { activation: "gelu" }), first.second);
        const y = checkpoint(program, forward, program.input("x", [rows, width]), [first.first, first.second]);
        return Object.fromEntries(program.gradients(sum(y), targets).map((gradient, i) => [`g${i}`, gradient]));
      }).stats.flops;
    expect(flopsFor(parameters.slice(1, 2))).toBeLessThan(flopsFor(parameters.slice(0, 2)));
  });

  it("refuses a region that returns its operand", () => {
    const bad = () =>
      recordProgram(device, (program) => ({
        y: checkpoint(program, (x) => x, program.input("x", [2, 2]), []),
      }));
    expect(bad).toThrow(OptionError);
  });
});
