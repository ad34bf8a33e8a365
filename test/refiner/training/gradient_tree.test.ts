import fc from "fast-check";
import { expect, it } from "vitest";
import { Arena, type Program, recordProgram } from "../../../engine/index.ts";
import { GradientTree, treeSlots, treeSteps } from "../../../refiner/training/gradient_tree.ts";
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

function stepped(values: readonly number[]): number {
  const slots: number[] = [];
  treeSteps(values.length).forEach((steps, part) => {
    for (const { kind, from, to } of steps) {
      const value = (from === "leaf" ? values[part] : slots[from]) ?? Number.NaN;
      slots[to] = kind === "copy" ? value : Math.fround((slots[to] ?? Number.NaN) + value);
    }
  });
  return slots[0] ?? Number.NaN;
}

const parts = fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 1, maxLength: 40 });

it("sums as the rule says, with ceil(log2(parts)) sums waiting at most", () => {
  fc.assert(
    fc.property(parts, (values) => {
      expect(stepped(values)).toBe(ruled(values));
    }),
  );
  for (let count = 1; count <= 300; count++)
    expect(treeSlots(count)).toBeLessThanOrEqual(Math.max(1, Math.ceil(Math.log2(count))));
  expect([1, 2, 3, 4, 8].map(treeSlots)).toEqual([1, 1, 1, 2, 3]);
});

it("processes that hold 2^k parts each get the bits of one", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2, 3, 4),
      fc.constantFrom(1, 2, 4),
      fc.infiniteStream(fc.float({ noNaN: true })),
      (ranks, each, stream) => {
        const values = [...stream.take(ranks * each)];
        const own = Array.from({ length: ranks }, (_, rank) => ruled(values.slice(rank * each, (rank + 1) * each)));
        expect(ruled(own)).toBe(ruled(values));
      },
    ),
  );
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
  expect(tree.sizeBytes).toBe(count === 1 ? 0 : treeSlots(count) * parameters.sizeBytes);
  for (const one of [recorded, tree, optimizer, parameters]) one.destroy();
});
