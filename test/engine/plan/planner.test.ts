import fc from "fast-check";
import { d, tgpu } from "typegpu";
import { expect, it } from "vitest";
import { stateOf } from "../../../engine/core/tensor.ts";
import { Arena, defineKernel, type Kernel, type Program, recordProgram, type Tensor } from "../../../engine/index.ts";
import type { PlannedCommand } from "../../../engine/plan/planned_command.ts";
import type { Plan } from "../../../engine/plan/planner.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const read = { storage: d.arrayOf(d.f32) };
const write = { storage: d.arrayOf(d.f32), access: "mutable" } as const;
const kernelOf = (name: string, layout: Record<string, typeof read | typeof write>): Kernel =>
  defineKernel({ name, source: `fn ${name}() {}`, layout: tgpu.bindGroupLayout(layout) });
// Planned, never compiled: what matters is which bindings read and which write.
const single = kernelOf("single", { x: read, y: write });
const singleInPlace = kernelOf("single_in_place", { y: write });
const mix = kernelOf("mix", { a: read, b: read, y: write, z: write });
const update = kernelOf("update", { x: read, state: write });

const sizes = [64, 100, 640];
type Step =
  | { readonly kind: "single"; readonly x: number }
  | { readonly kind: "mix"; readonly a: number; readonly b: number; readonly y: number; readonly z: number }
  | { readonly kind: "assign"; readonly state: number; readonly x: number }
  | { readonly kind: "update"; readonly state: number; readonly x: number };
const index = fc.nat(1000);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("single" as const), x: index }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("mix" as const), a: index, b: index, y: index, z: index }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("assign" as const), state: index, x: index }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("update" as const), state: index, x: index }) },
  ),
  { minLength: 1, maxLength: 40 },
);

function pick<T>(list: readonly T[], at: number): T {
  const value = list[at % list.length];
  if (value === undefined) throw new Error("nothing to pick from");
  return value;
}

/** Records a drawn program; the outputs are some of its tensors. */
function recordDrawn(program: Program, drawn: readonly Step[], outputs: readonly number[]) {
  const arena = new Arena(
    device,
    "state",
    [0, 1, 2, 3, 4].map((i) => ({ name: `s${i}`, shape: [sizes[i % sizes.length] ?? 64] })),
  );
  const states = [...arena.tensors.values()];
  const tensors: Tensor[] = [program.input("x", [64]), ...states];
  const recorded: Tensor[] = [];
  const grow = (x: Tensor): void => {
    tensors.push(x);
    recorded.push(x);
  };
  for (const step of drawn) {
    if (step.kind === "single") {
      const x = pick(tensors, step.x);
      const y = program.empty(x.shape);
      const inPlace = { kernel: singleInPlace, output: "y", operand: "x" };
      program.dispatch(single, {}, { x, y }, [1], { inPlace });
      grow(y);
    } else if (step.kind === "mix") {
      const [y, z] = [program.empty([pick(sizes, step.y)]), program.empty([pick(sizes, step.z)])];
      program.dispatch(mix, {}, { a: pick(tensors, step.a), b: pick(tensors, step.b), y, z }, [1]);
      grow(y);
      grow(z);
    } else {
      const state = pick(states, step.state);
      const x = pick(tensors, step.x);
      if (step.kind === "assign" && x.size === state.size && x !== state) program.assign(state, x);
      if (step.kind === "update" && !stateOf(x)) program.dispatch(update, {}, { x, state }, [1]);
    }
  }
  const kept = recorded.length > 0 ? outputs.map((at) => pick(recorded, at)) : [];
  return { states, outputs: Object.fromEntries(kept.map((x, i) => [`y${i}`, x])) };
}

/** What a range of memory holds: a name for the value, made of the names of what it was computed from. */
class Memory {
  readonly #cells: { buffer: object; from: number; to: number; value: string }[] = [];

  write(buffer: object, from: number, size: number, value: string): void {
    const to = from + size;
    for (let i = this.#cells.length - 1; i >= 0; i--) {
      const cell = this.#cells[i];
      if (cell && cell.buffer === buffer && cell.from < to && cell.to > from) this.#cells.splice(i, 1);
    }
    this.#cells.push({ buffer, from, to, value });
  }

  read(buffer: object, from: number, size: number, initial: string): string {
    const overlapping = this.#cells.filter((c) => c.buffer === buffer && c.from < from + size && c.to > from);
    if (overlapping.length === 0) return initial;
    const [cell] = overlapping;
    return overlapping.length === 1 && cell?.from === from && cell.to === from + size ? cell.value : "overwritten";
  }
}

type Locate = (x: Tensor) => { buffer: object; offset: number };

/** Runs commands on names instead of numbers. */
function execute(commands: readonly PlannedCommand[], locate: Locate, memory: Memory): void {
  const value = (x: Tensor): string => {
    const { buffer, offset } = locate(x);
    return memory.read(buffer, offset, x.sizeBytes, `start ${offset} ${x.sizeBytes}`);
  };
  const store = (x: Tensor, name: string): void => {
    const { buffer, offset } = locate(x);
    memory.write(buffer, offset, x.sizeBytes, name);
  };
  commands.forEach(({ command }) => {
    if (command.type === "assign") {
      store(command.target, value(command.source));
      return;
    }
    const { kernel, operands } = command;
    const values = Object.entries(operands).map(([name, x]) => {
      const isOutput = kernel.bindings.some((b) => b.name === name && b.access === "write" && !stateOf(x));
      return isOutput ? name : `${name}=${value(x)}`;
    });
    const result = shorten(`${kernel.name}(${values.join(", ")})`);
    for (const { name, access } of kernel.bindings) {
      const x = operands[name];
      if (access === "write" && x) store(x, `${name} of ${result}`);
    }
  });
}

const shortNames = new Map<string, string>();
function shorten(text: string): string {
  const known = shortNames.get(text) ?? `v${shortNames.size}`;
  shortNames.set(text, known);
  return known;
}

function buffers() {
  const arenas = new Map<number, object>();
  return (arena: number): object => {
    const known = arenas.get(arena) ?? {};
    arenas.set(arena, known);
    return known;
  };
}

/** Where the plan puts a tensor. */
function plannedLocation(plan: Plan): Locate {
  const arenaOf = buffers();
  return (x) => {
    const { storage } = x;
    if (storage.kind === "state") return { buffer: storage, offset: x.byteOffset };
    const place = plan.placements.get(storage);
    if (!place) return { buffer: storage, offset: x.byteOffset };
    return "state" in place
      ? { buffer: place.state, offset: place.offset + x.byteOffset }
      : { buffer: arenaOf(place.arena), offset: place.offset + x.byteOffset };
  };
}

const drawn = fc.record({ program: steps, outputs: fc.array(index, { maxLength: 4 }) });

function record({ program: list, outputs: chosen }: { program: Step[]; outputs: number[] }) {
  let states: Tensor[] = [];
  const recorded = recordProgram(device, (program) => {
    const made = recordDrawn(program, list, chosen);
    states = made.states;
    return made.outputs;
  });
  return { recorded, states };
}

it("a planned program leaves the same values in outputs and state as one where every tensor has its own memory", () => {
  fc.assert(
    fc.property(drawn, (choice) => {
      const { recorded, states } = record(choice);
      const own: Locate = (x) => ({ buffer: x.storage, offset: x.byteOffset });
      const planned = plannedLocation(recorded.plan);
      const [expected, actual] = [new Memory(), new Memory()];
      execute(
        recorded.program.commands.map((command) => ({ command, inPlace: false })),
        own,
        expected,
      );
      execute(recorded.plan.commands, planned, actual);
      const show = (memory: Memory, locate: Locate): string[] =>
        [...states, ...Object.values(recorded.outputs)].map((x) => {
          const { buffer, offset } = locate(x);
          return memory.read(buffer, offset, x.sizeBytes, `start ${offset} ${x.sizeBytes}`);
        });
      expect(show(actual, planned)).toEqual(show(expected, own));
    }),
    { numRuns: 400 },
  );
});

it("no dispatch of a planned program binds one buffer for reading and for writing", () => {
  fc.assert(
    fc.property(drawn, (choice) => {
      const { plan } = record(choice).recorded;
      const locate = plannedLocation(plan);
      for (const { command, inPlace } of plan.commands) {
        if (command.type === "assign") continue;
        const kernel = inPlace && command.options.inPlace ? command.options.inPlace.kernel : command.kernel;
        const [reads, writes] = (["read", "write"] as const).map((wanted) =>
          kernel.bindings
            .filter(({ access }) => access === wanted)
            .flatMap(({ name }) => (command.operands[name] ? [locate(command.operands[name]).buffer] : [])),
        );
        expect((reads ?? []).filter((buffer) => (writes ?? []).includes(buffer))).toEqual([]);
      }
    }),
    { numRuns: 400 },
  );
});

it("every place is a multiple of 256 bytes and lies inside its arena", () => {
  fc.assert(
    fc.property(drawn, (choice) => {
      const { plan } = record(choice).recorded;
      for (const [storage, place] of plan.placements) {
        if ("state" in place) continue;
        expect(place.offset % 256).toBe(0);
        expect(place.offset + storage.sizeBytes).toBeLessThanOrEqual(plan.arenaBytes[place.arena] ?? 0);
      }
    }),
    { numRuns: 200 },
  );
});

it("lets the producer of an assigned value write into the state", () => {
  const state = device.zeros([64]);
  const { plan } = recordProgram(device, (p) => {
    const y = p.empty([64]);
    p.dispatch(single, {}, { x: p.input("x", [64]), y }, [1]);
    p.assign(state, y);
    return {};
  });
  expect(plan.commands.map(({ command }) => command.type)).toEqual(["dispatch"]);
  expect(plan.arenaBytes).toEqual([]);
});

it("copies an assigned value where the producer reads the state that it would overwrite", () => {
  const state = device.zeros([64]);
  const { plan } = recordProgram(device, (p) => {
    const y = p.empty([64]);
    p.dispatch(single, {}, { x: state, y }, [1]);
    p.assign(state, y);
    return {};
  });
  expect(plan.commands.map(({ command }) => command.type)).toEqual(["dispatch", "assign"]);
});

it("leaves out commands that nothing depends on", () => {
  const { stats } = recordProgram(device, (p) => {
    const [y, z] = [p.empty([64]), p.empty([64])];
    const x = p.input("x", [64]);
    p.dispatch(single, {}, { x, y }, [1]);
    p.dispatch(single, {}, { x, y: z }, [1]);
    return { y };
  });
  expect(stats.dispatches).toBe(1);
});
