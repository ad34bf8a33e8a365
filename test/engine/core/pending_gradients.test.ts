import { beforeAll, describe, expect, it } from "vitest";
import { add, type Device, layerNorm, linear, recordProgram, type Tensor } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const [rows, width] = [5, 8];

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

/** Gradient of `sum(branch(x) * dy)` with respect to `x`, and the kernels that the program holds. */
async function gradientOf(branch: (x: Tensor) => Tensor, x: number[], dy: number[]) {
  const step = recordProgram(device, (p) => {
    const input = p.input("x", [rows, width]);
    const [dx] = p.gradients(branch(input), [input], p.input("dy", [rows, width]));
    if (!dx) throw new Error("no gradient was recorded");
    return { dx };
  });
  const { dx } = await (await step.run({ x: Float32Array.from(x), dy: Float32Array.from(dy) }, ["dx"])).read();
  const commands = step.plan.commands.map(({ command }) => command);
  step.destroy();
  return { dx, kernels: commands.map((command) => (command.type === "dispatch" ? command.kernel.name : "copy")) };
}

const values = (seed: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => ((i * seed) % 17) / 8 - 1);

describe("gradients that arrive on two paths", () => {
  const x = values(5, rows * width);
  const dy = values(7, rows * width);

  it("are added inside the input gradient of a linear layer", { timeout: 20_000 }, async () => {
    const weights = values(3, width * width);
    const weight = device.tensor(weights, [width, width]);
    const { dx, kernels } = await gradientOf((input) => add(linear(input, weight), input), x, dy);
    const expected = dy.map((direct, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      const terms = Array.from(
        { length: width },
        (_, o) => (dy[row * width + o] ?? 0) * (weights[o * width + column] ?? 0),
      );
      return terms.reduce((sum, term) => sum + term, direct);
    });
    // eight products within 1 and nine sums within 9, each rounded once
    expected.forEach((value, i) => {
      expect(Math.abs((dx[i] ?? 0) - value)).toBeLessThan(9 * 9 * 2 ** -24);
    });
    expect(kernels).toHaveLength(1);
  });

  it("are added inside the gradient of layer norm", { timeout: 20_000 }, async () => {
    const identity = device.tensor(
      values(1, width * width).map((_, i) => (i % (width + 1) === 0 ? 1 : 0)),
      [width, width],
    );
    const fused = await gradientOf((input) => linear(layerNorm(input), identity, { residual: input }), x, dy);
    const alone = await gradientOf((input) => layerNorm(input), x, dy);
    // The sum of two numbers within 8, rounded once, after the same operations.
    fused.dx.forEach((value, i) => {
      expect(Math.abs(value - ((alone.dx[i] ?? 0) + (dy[i] ?? 0)))).toBeLessThan(8 * 2 ** -24);
    });
    expect(fused.kernels.filter((name) => name.startsWith("binary"))).toEqual([]);
  });
});
