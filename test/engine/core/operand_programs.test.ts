import { d, tgpu } from "typegpu";
import { describe, expect, it } from "vitest";
import { defineKernel } from "../../../engine/core/kernel.ts";
import {
  emptyLike,
  mul,
  type Program,
  ProgramMixError,
  recordProgram,
  sum,
  type Tensor,
} from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const Params = d.struct({ count: d.u32 }).$name("Params");
const doubleKernel = defineKernel({
  name: "scaled_product",
  source: `
    struct Params { count: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read> w: array<f32>;
    @group(0) @binding(3) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(1)
    fn scaled_product() { for (var i = 0u; i < params.count; i++) { y[i] = x[i] * w[i]; } }`,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.f32) },
    w: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

type Asked = "x" | "w" | "y";

/** x · w as a caller would write it, with the program of one operand asked for the launch and that of another for the rule. */
function product(x: Tensor, w: Tensor, made: Asked, launched: Asked, recorded: Asked): Tensor {
  const y = made === "x" ? emptyLike(x) : made === "w" ? emptyLike(w) : x.program.empty(x.shape);
  const operands = { x, w, y };
  operands[launched].program.dispatch(doubleKernel, { count: x.size }, operands, [1]);
  return operands[recorded].program.record(y, [x, w], (dy) => [mul(dy, w), mul(dy, x)]);
}

const asked: readonly Asked[] = ["x", "w", "y"];
const combinations = asked.flatMap((made) =>
  asked.flatMap((launched) => asked.map((recorded): [Asked, Asked, Asked] => [made, launched, recorded])),
);

/** Where an operand comes from; each has the values 2, 3 or 5, 7. */
type Source = "state" | "eager" | "explicit" | "input";
const sources: readonly Source[] = ["state", "eager", "explicit", "input"];
const pairs = sources.flatMap((x) => sources.map((w): [Source, Source] => [x, w]));

describe.each(pairs)("an operation of %s and %s", (xSource, wSource) => {
  it.each(combinations)("is recorded whole with empty of %s, launch by %s, rule by %s", async (...order) => {
    const states = { x: device.tensor([2, 3]), w: device.tensor([5, 7]) };
    const take = (program: Program, source: Source, name: "x" | "w"): Tensor => {
      if (source === "input") return program.input(name, [2]);
      if (source === "state") return states[name];
      return source === "eager" ? mul(states[name], 1) : mul(program.input(name, [2]), 1);
    };
    const values = { x: [2, 3], w: [5, 7] };
    const step = recordProgram(device, (program) => {
      const [x, w] = [take(program, xSource, "x"), take(program, wSource, "w")];
      const y = product(x, w, ...order);
      const [dx = y, dw = y] = program.gradients(sum(y), [x, w]);
      return { y, dx, dw };
    });
    const given = Object.fromEntries([...step.program.inputs.keys()].map((name) => [name, values[name as "x" | "w"]]));
    const results = await (await step.run(given, ["y", "dx", "dw"])).read();
    expect([...results.y, ...results.dx, ...results.dw]).toEqual([10, 21, 5, 7, 2, 3]);
    step.destroy();
  });
});

it.each(combinations)(
  "an eager one gives the gradients of state with empty of %s, launch by %s, rule by %s",
  async (...order) => {
    const [x, w] = [device.tensor([2, 3]), device.tensor([5, 7])];
    const y = product(x, w, ...order);
    const loss = sum(y);
    const [dx = y, dw = y] = w.program.gradients(loss, [x, w]); // a new program each time, and still the same recording
    expect([...(await dx.read()), ...(await dw.read()), ...(await y.read())]).toEqual([5, 7, 2, 3, 10, 21]);
  },
);

it("a program that was taken over by another passes every call on", async () => {
  const step = recordProgram(device, (program) => {
    const x = device.tensor([3]);
    const early = x.program;
    const a = mul(x, program.input("a", [1]));
    early.dispatch(doubleKernel, { count: 1 }, { x, w: a, y: program.empty([1]) }, [1]);
    expect(early.resolve()).toBe(program);
    const b = early.input("b", [1]);
    const y = mul(a, b);
    const state = early.own(device.zeros([1]));
    early.assign(state, y);
    expect(early.flag("example").tensor).toBe(program.flags[0]?.tensor);
    const [dx = y] = early.gradients(
      early.record(early.empty([1]), [], () => []),
      [x],
    );
    expect([...program.inputs.keys()]).toEqual(["a", "b"]);
    return { y, dx };
  });
  const { y } = await (await step.run({ a: [5], b: [7] }, ["y"])).read();
  expect([...y]).toEqual([105]);
});

it("two explicit programs still cannot meet, whichever is asked", () => {
  let foreign: Tensor | undefined;
  recordProgram(device, (program) => {
    foreign = mul(program.input("x", [2]), 2);
    return { foreign };
  });
  recordProgram(device, (program) => {
    const x = foreign ?? program.input("x", [2]);
    const w = program.input("w", [2]);
    for (const order of combinations) expect(() => product(x, w, ...order)).toThrow(ProgramMixError);
    return {};
  });
});
