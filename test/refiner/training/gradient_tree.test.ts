import fc from "fast-check";
import { expect, it } from "vitest";
import { Arena, type Program, recordProgram } from "../../../engine/index.ts";
import { joinSubtrees, type Span, treePlan, treeSlots } from "../../../refiner/exchange/sum_tree.ts";
import { GradientTree } from "../../../refiner/training/gradient_tree.ts";
import { ArenaOptimizer } from "../../../refiner/training/optimizer.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

/** The rule as the documentation states it. */
function ruled(values: readonly number[]): number {
  const [first = 0] = values;
  if (values.length === 1) return first;
  const left = 2 ** Math.ceil(Math.log2(values.length) - 1);
  return Math.fround(ruled(values.slice(0, left)) + ruled(values.slice(left)));
}

/** What the slots hold in the end. */
function stepped(values: readonly number[], range: Span = { from: 0, to: values.length }): number[] {
  const slots: number[] = [];
  treePlan(values.length, range).steps.forEach((steps, part) => {
    for (const { kind, from, to } of steps) {
      const value = (from === "leaf" ? values[range.from + part] : slots[from]) ?? Number.NaN;
      slots[to] = kind === "copy" ? value : Math.fround((slots[to] ?? Number.NaN) + value);
    }
  });
  return slots;
}

const parts = fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 1, maxLength: 40 });

it("sums as the rule says, with ceil(log2(parts)) sums waiting at most", () => {
  fc.assert(
    fc.property(parts, (values) => {
      expect(stepped(values)[0]).toBe(ruled(values));
    }),
  );
  for (let count = 1; count <= 300; count++)
    expect(treeSlots(treePlan(count))).toBeLessThanOrEqual(Math.max(1, Math.ceil(Math.log2(count))));
  expect([1, 2, 3, 4, 8].map((count) => treeSlots(treePlan(count)))).toEqual([1, 1, 1, 2, 3]);
});

it("processes that hold runs of parts, of any lengths, get the bits of one from the sums of their subtrees", () => {
  fc.assert(
    fc.property(parts, fc.array(fc.nat(40), { maxLength: 5 }), (values, cuts) => {
      const ends = [...cuts.map((cut) => cut % values.length), values.length].sort((a, b) => a - b);
      const sums = ends.flatMap((to, i) => {
        const range = { from: ends[i - 1] ?? 0, to };
        const { roots } = treePlan(values.length, range);
        const slots = stepped(values, range);
        return roots.map((span, slot) => ({ span, values: Float32Array.of(slots[slot] ?? Number.NaN) }));
      });
      expect([...joinSubtrees(values.length, sums)]).toEqual([ruled(values)]);
    }),
  );
  const rootsOf = (count: number, from: number, to: number) => treePlan(count, { from, to }).roots.length;
  expect([rootsOf(16, 4, 8), rootsOf(12, 3, 6), rootsOf(12, 4, 8), rootsOf(7, 1, 7)]).toEqual([1, 2, 1, 3]);
});

it("sums of subtrees that are not those of all parts are refused", () => {
  const values = new Float32Array(1);
  const halves = [0, 2].map((from) => ({ span: { from, to: from + 1 }, values }));
  expect(() => joinSubtrees(4, halves)).toThrow(/sums of 2 subtrees are not those of 4 parts/);
  expect(() => joinSubtrees(4, [])).toThrow(/0 subtrees/);
});

it.each([1, 2, 3, 6])("programs behind %i parts leave the sum in the optimiser's gradients", async (count) => {
  const parameters = new Arena(device, "parameters", [
    { name: "a", shape: [70] },
    { name: "b", shape: [3] },
  ]);
  const optimizer = new ArenaOptimizer(parameters, { weightDecay: 0 });
  const tree = new GradientTree([optimizer], count);
  tree.recordAll();
  const values = Array.from({ length: count }, (_, i) => Math.fround(1 / (i + 3)));
  const recorded = recordProgram(device, (program: Program) => {
    tree.assign(program, [[program.input("a", [70]), program.input("b", [3])]]);
    return {};
  });
  for (let repeat = 0; repeat < 2; repeat++)
    for (const [part, value] of values.entries()) {
      await recorded.run({ a: new Float32Array(70).fill(value), b: new Float32Array(3).fill(-value) });
      await tree.add(part);
    }
  expect(new Set(await optimizer.gradients.get("a").read())).toEqual(new Set([ruled(values)]));
  expect(new Set(await optimizer.gradients.get("b").read())).toEqual(new Set([-ruled(values)]));
  expect(tree.sizeBytes).toBe(count === 1 ? 0 : treeSlots(treePlan(count)) * parameters.sizeBytes);
  for (const one of [recorded, tree, optimizer, parameters]) one.destroy();
});
