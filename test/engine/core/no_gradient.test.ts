import { d, tgpu } from "typegpu";
import { describe, expect, it } from "vitest";
import { checkpoint } from "../../../engine/core/gradient_checkpointing.ts";
import {
  add,
  argmax,
  cast,
  defineKernel,
  detach,
  emptyLike,
  gather,
  greater,
  mul,
  NoGradientError,
  type Program,
  recordProgram,
  sign,
  square,
  sum,
  type Tensor,
  where,
} from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

const copyKernel = defineKernel({
  name: "copy_without_rule",
  source: `
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(1)
    fn copy_without_rule() { for (var i = 0u; i < arrayLength(&y); i++) { y[i] = x[i]; } }`,
  layout: tgpu.bindGroupLayout({
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/** A user's operation that forgot its rule. */
function copyWithoutRule(x: Tensor): Tensor {
  const y = emptyLike(x);
  y.program.dispatch(copyKernel, {}, { x, y }, [1]);
  return y;
}

/** Gradient of the loss of `record` with respect to w = [3, -1, 2]. */
async function gradientOf(record: (w: Tensor, program: Program) => Tensor): Promise<number[]> {
  const w = device.tensor([3, -1, 2]);
  const step = recordProgram(device, (program) => {
    const [dw = w] = program.gradients(record(w, program), [w]);
    return { dw };
  });
  const { dw } = await (await step.run({}, ["dw"])).read();
  return Array.from(dw, (value) => value + 0); // -0 becomes 0
}

describe("a gradient that would have to pass a launch without a rule", () => {
  it.each<[string, (w: Tensor, program: Program) => Tensor, RegExp]>([
    [
      "at the loss",
      (w) => copyWithoutRule(sum(square(w))),
      /\[\].* kernel copy_without_rule, which states no gradient/,
    ],
    ["of a user's kernel", (w) => sum(mul(copyWithoutRule(w), w)), /\[3\].* kernel copy_without_rule/],
    ["below operations that have rules", (w) => sum(square(mul(copyWithoutRule(square(w)), 2))), /copy_without_rule/],
    ["beside a path that has one", (w) => add(sum(square(w)), sum(copyWithoutRule(w))), /copy_without_rule/],
    [
      "of a kernel that several operations share",
      (w) => sum(mul(sign(w), w)),
      /operation sign, which states no gradient/,
    ],
    [
      "through state",
      (w, program) => {
        const kept = device.zeros([3]);
        program.assign(kept, square(w));
        return sum(mul(kept, w));
      },
      /copied into state/,
    ],
    ["of integers", (w) => cast(argmax(w, 0), "f32"), /only through values that have no gradient/],
  ])("%s is an error that names it", async (_where, record, message) => {
    await expect(gradientOf(record)).rejects.toThrow(NoGradientError);
    await expect(gradientOf(record)).rejects.toThrow(message);
    await expect(gradientOf(record)).rejects.toThrow(/program.record, or cut the gradient on purpose with detach/);
  });

  it("is an error in an eager recording and in one that was read, too", async () => {
    const w = device.tensor([3, -1, 2]);
    const loss = sum(sign(w));
    expect(() => loss.program.gradients(loss, [w])).toThrow(NoGradientError);
    const step = sign(w);
    await step.read();
    const next = sum(mul(step, w));
    expect(() => next.program.gradients(next, [w])).toThrow(NoGradientError);
  });

  it("is an error inside a checkpointed region", async () => {
    const region = (w: Tensor, program: Program): Tensor =>
      sum(checkpoint(program, (x) => mul(copyWithoutRule(x), x), w, []));
    await expect(gradientOf(region)).rejects.toThrow(/copy_without_rule/);
  });
});

describe("no error is raised", () => {
  it("for a detached operand, through which nothing flows", async () => {
    expect(await gradientOf((w) => sum(mul(detach(copyWithoutRule(w)), w)))).toEqual([3, -1, 2]);
    expect(await gradientOf((w) => sum(mul(copyWithoutRule(detach(w)), w)))).toEqual([3, -1, 2]);
    expect(await gradientOf((w) => sum(mul(detach(w), w)))).toEqual([3, -1, 2]);
  });

  it("for an index or a mask that depends on a target", async () => {
    expect(await gradientOf((w) => sum(gather(w, argmax(w, 0))))).toEqual([1, 0, 0]);
    expect(await gradientOf((w) => sum(where(greater(w, 0), square(w), 0)))).toEqual([6, 0, 4]);
    expect(await gradientOf((w) => sum(mul(cast(greater(w, 0), "f32"), w)))).toEqual([1, 0, 1]);
  });

  it("for state that is read before it is overwritten", async () => {
    const record = (w: Tensor, program: Program): Tensor => {
      const kept = device.tensor([1, 2, 3]);
      const loss = sum(add(kept, w));
      program.adopt("test", [loss]); // both were state: in the program before the update is
      program.assign(kept, square(w));
      return loss;
    };
    expect(await gradientOf(record)).toEqual([1, 1, 1]);
  });

  it("for a target that the loss does not depend on: it gets zeros", async () => {
    expect(await gradientOf((_, program) => sum(square(program.device.tensor([1, 2]))))).toEqual([0, 0, 0]);
    expect(await gradientOf((w) => sum(detach(square(w))))).toEqual([0, 0, 0]);
  });

  it("and a rule that is asked in vain adds no launch to the program", () => {
    const launches = (mask: (w: Tensor) => Tensor): number => {
      const w = device.tensor([3, -1, 2]);
      return recordProgram(device, (program) => {
        const [dw = w] = program.gradients(sum(mul(cast(mask(w), "f32"), w)), [w]);
        return { dw };
      }).stats.dispatches;
    };
    expect(launches((w) => greater(w, 0))).toBe(launches((w) => detach(greater(w, 0))));
  });
});
