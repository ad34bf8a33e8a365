import { d, tgpu } from "typegpu";
import { describe, expect, it } from "vitest";
import {
  add,
  checkpoint,
  concat,
  defineKernel,
  detach,
  exp,
  fillState,
  mul,
  NoGradientError,
  type Program,
  recordProgram,
  reshape,
  rows,
  slice,
  square,
  sum,
  type Tensor,
} from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

const tripleKernel = defineKernel({
  name: "triple_without_rule",
  source: `
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(1)
    fn triple_without_rule() { for (var i = 0u; i < arrayLength(&y); i++) { y[i] = 3.0 * x[i]; } }`,
  layout: tgpu.bindGroupLayout({
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

const w = device.tensor([3, -1, 2]);
const gradientOf = async (record: (program: Program) => Tensor): Promise<number[]> => {
  const step = recordProgram(device, (program) => {
    const [dw = w] = program.gradients(record(program), [w]);
    return { dw };
  });
  const { dw } = await (await step.run({}, ["dw"])).read();
  return [...dw];
};

describe("a gradient rule that reads state which was overwritten after its operation", () => {
  const kept = (): Tensor => device.tensor([1, 2, 3], [3], "f32", "kept");

  it.each<[string, (state: Tensor, program: Program) => Tensor]>([
    [
      "by assign",
      (state, program) => {
        const loss = sum(mul(w, state));
        program.adopt("test", [loss]);
        program.assign(state, full(program, 7));
        return loss;
      },
    ],
    [
      "by a kernel",
      (state, program) => {
        const loss = sum(mul(w, state));
        program.adopt("test", [loss]);
        fillState(program, state, 7);
        return loss;
      },
    ],
    [
      "in a part",
      (state, program) => {
        const loss = sum(mul(w, state));
        program.adopt("test", [loss]);
        program.assign(rows(state, 0, 1), reshape(full(program, 7, [1]), [1]));
        return loss;
      },
    ],
    [
      "in a checkpointed region",
      (state, program) => {
        const loss = sum(checkpoint(program, (x) => mul(x, state), w, []));
        program.assign(state, full(program, 7));
        return loss;
      },
    ],
  ])("is an error that names both: %s", async (_how, record) => {
    const run = (): Promise<number[]> => gradientOf((program) => record(kept(), program));
    await expect(run()).rejects.toThrow(NoGradientError);
    await expect(run()).rejects.toThrow(
      /the rule of (mul|\w+) reads the state kept \[3\], which (assign|fill) overwrote/,
    );
  });

  it("is no error where the rule does not read it, or the update follows the gradients", async () => {
    const late = kept();
    expect(
      await gradientOf((program) => {
        const loss = sum(add(w, late));
        program.adopt("test", [loss]);
        program.assign(late, full(program, 7));
        return loss;
      }),
    ).toEqual([1, 1, 1]);
    const state = kept();
    const step = recordProgram(device, (program) => {
      const [dw = w] = program.gradients(sum(mul(w, state)), [w]);
      program.assign(state, full(program, 7));
      return { dw };
    });
    expect([...(await (await step.run({}, ["dw"])).read()).dw]).toEqual([1, 2, 3]);
  });

  it.each<[string, (state: Tensor) => Tensor]>([
    ["that it reads", (state) => sum(mul(w, state))],
    ["of which it reads a value that would be computed anew", (state) => sum(exp(mul(add(w, state), 1)))],
  ])("is an error where the host wrote the state %s after the value was read", async (_what, record) => {
    const state = kept();
    const loss = record(state);
    await loss.read();
    expect(() => loss.program.gradients(loss, [w])).not.toThrow();
    device.write(state, [7, 7, 7]);
    expect(() => loss.program.gradients(loss, [w])).toThrow(NoGradientError);
    expect(() => loss.program.gradients(loss, [w])).toThrow(/reads the state kept \[3\], which was overwritten/);
  });

  it("is none where the value is computed after the host wrote", async () => {
    const state = kept();
    const loss = sum(mul(w, state));
    device.write(state, [7, 8, 9]);
    expect([...(await loss.read())]).toEqual([7 * 3 - 8 + 18]);
    const [gradient] = loss.program.gradients(loss, [w]);
    expect([...((await gradient?.read()) ?? [])]).toEqual([7, 8, 9]);
    const again = sum(mul(w, state));
    const [second] = again.program.gradients(again, [w]);
    expect([...((await second?.read()) ?? [])]).toEqual([7, 8, 9]);
  });

  const full = (program: Program, value: number, shape: readonly number[] = [3]): Tensor => {
    const y = program.empty(shape);
    fillState(program, y, value);
    return y;
  };
});

describe("an operation of state alone", () => {
  it("that was recorded before an assign reads what the state held then", async () => {
    const state = device.tensor([1, 2, 3]);
    const step = recordProgram(device, (program) => {
      const before = mul(state, w);
      program.assign(state, program.input("next", [3]));
      const after = mul(state, w);
      return { before, after };
    });
    const read = await (await step.run({ next: [10, 20, 30] }, ["before", "after"])).read();
    expect([...read.before]).toEqual([3, -2, 6]);
    expect([...read.after]).toEqual([30, -20, 60]);
    step.destroy();
  });

  it("keeps its place before a kernel that updates the state, with what it depends on", async () => {
    const state = device.tensor([0, 0, 0]);
    const step = recordProgram(device, (program) => {
      const early = add(exp(state), square(state)); // 1 while the state is 0
      fillState(program, state, 2);
      return { early, late: square(state) };
    });
    const read = await (await step.run({}, ["early", "late"])).read();
    expect([...read.early]).toEqual([1, 1, 1]);
    expect([...read.late]).toEqual([4, 4, 4]);
    step.destroy();
  });

  it("stays behind a write that came first", async () => {
    const state = device.tensor([1, 1, 1]);
    const step = recordProgram(device, (program) => {
      fillState(program, state, 5);
      return { y: add(state, w) };
    });
    expect([...(await (await step.run({}, ["y"])).read()).y]).toEqual([8, 4, 7]);
    step.destroy();
  });
});

describe("a kernel without a rule that writes over values which have one", () => {
  const write = (program: Program, x: Tensor, y: Tensor): void => program.dispatch(tripleKernel, {}, { x, y }, [1]);
  const long = device.tensor(Float32Array.from({ length: 128 }, (_, i) => i));

  it.each<[string, (program: Program) => Tensor]>([
    [
      "in a view of rows",
      (program) => {
        const whole = square(concat([long, long]));
        write(program, mul(long, 2), rows(whole, 64, 192));
        return sum(whole);
      },
    ],
    [
      "in a slice that is a view",
      (program) => {
        const whole = square(concat([long, long]));
        const part = slice(whole, [[64, 192]]);
        write(program, mul(long, 2), part);
        return sum(part);
      },
    ],
    [
      "in a view of state",
      (program) => {
        const state = device.zeros([256]);
        write(program, mul(long, 2), rows(state, 64, 192));
        return sum(mul(state, concat([long, long])));
      },
    ],
    [
      "in the result itself",
      (program) => {
        const y = square(long);
        write(program, mul(long, 2), y);
        return sum(y);
      },
    ],
  ])("is an error that names it: %s", (_where, record) => {
    recordProgram(device, (program) => {
      const loss = record(program);
      expect(() => program.gradients(loss, [long])).toThrow(NoGradientError);
      expect(() => program.gradients(loss, [long])).toThrow(/triple_without_rule/);
      return {};
    });
  });

  it("is none where the cut is meant", () => {
    recordProgram(device, (program) => {
      const y = square(long);
      const copy = detach(y);
      write(program, detach(mul(long, 2)), program.empty([128]));
      const [gradient] = program.gradients(sum(mul(copy, long)), [long]);
      expect(gradient?.shape).toEqual([128]);
      return {};
    });
  });
});
