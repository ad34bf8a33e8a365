import { expect, it } from "vitest";
import { recordEarly } from "../../../engine/core/early_recording.ts";
import { Arena, accumulate, exp, mul, type Program, recordProgram, type Tensor } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

/** Names of the kernels of a program in their order. */
const kernelsOf = (program: Program): string[] =>
  program.commands.map((command) => (command.type === "dispatch" ? command.kernel.name : command.type));

it("adds each tensor to its place in an arena as soon as it is known, in whatever order they were declared", async () => {
  const sums = new Arena(device, "sums", [
    { name: "late", shape: [64] },
    { name: "early", shape: [64] },
  ]);
  const x = device.tensor(new Float32Array(64).fill(2), [64]);
  const recorded = recordProgram<Record<string, Tensor>>(device, (program) => {
    const early = mul(x, x);
    const late = exp(mul(early, early));
    program.adopt("test", [late]);
    recordEarly(program, () => {
      accumulate(program, sums.get("late"), late);
      accumulate(program, sums.get("early"), early);
      accumulate(program, sums.get("early"), early);
    });
    return {};
  });
  const kernels = kernelsOf(recorded.program);
  expect(kernels.map((name) => name === "accumulate")).toEqual([false, true, true, false, false, true]);
  await recorded.run();
  expect((await sums.get("early").read())[0]).toBe(8);
  expect((await sums.get("late").read())[0]).toBeCloseTo(Math.exp(16), -2);
  recorded.destroy();
});
