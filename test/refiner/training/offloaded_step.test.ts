import { describe, expect, it } from "vitest";
import {
  Arena,
  hostNormal,
  lossScaleValues,
  type Program,
  recordProgram,
  StagingSlot,
  stepControl,
  stepScalars,
  ValidationError,
} from "../../../engine/index.ts";
import { HostArena } from "../../../refiner/training/offload/host_arena.ts";
import { StagingRoom, type StateArena } from "../../../refiner/training/offload/streamed_step.ts";
import { ArenaOptimizer } from "../../../refiner/training/optimizer.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
/** Sizes that end within a piece, at its end, and span several. */
const entries = [
  { name: "a.weight", shape: [50, 70] },
  { name: "a.bias", shape: [70] },
  { name: "b.weight", shape: [130, 190] },
  { name: "c.weight", shape: [4096] },
];
/** The smallest pieces there are, which an arena as small as this one is cut into. */
const pieceElements = 4096;

interface Offloaded {
  readonly moments: boolean;
  readonly average: boolean;
  /** Beginning of the names of what is frozen. */
  readonly frozen?: string;
  /** Shortens gradients to this norm, takes a loss scale out of them, and skips the second step, whose gradients overflowed. */
  readonly maxNorm?: number;
}

/** Three steps, the second of them with a moving follower of the parameters behind it. */
async function train({
  moments,
  average,
  frozen = "none",
  maxNorm,
}: Offloaded): Promise<Record<string, Float32Array[]>> {
  const parameters = new Arena(device, "parameters", entries);
  for (const { name, shape } of entries) {
    const size = shape.reduce((product, length) => product * length, 1);
    device.write(parameters.get(name), hostNormal(size, { seed: 1, purpose: name }));
  }
  const arrays = (moments ? 2 : 0) + (average ? 1 : 0);
  const largest = Math.max(...parameters.chunks.map(({ size }) => size));
  const room = arrays > 0 ? new StagingRoom(device, arrays, largest) : undefined;
  const scaleOf = (name: string): number => (name.startsWith(frozen) ? 0 : name.startsWith("a") ? 0.5 : 1);
  const optimizer = new ArenaOptimizer(parameters, { weightDecay: 0.05, scaleOf }, room && { moments, room });
  const averages: StateArena = average ? new HostArena(parameters, "average") : parameters.like("average");
  if (averages instanceof HostArena) await averages.load(parameters);
  else for (const [i, chunk] of parameters.chunks.entries()) device.write(chunkOf(averages, i), await chunk.read());
  const copy = parameters.like("copy");
  const lossScale = device.tensor(lossScaleValues({ scale: 8, beta1: 0.9, beta2: 0.999 }));
  const step = recordProgram(device, (program) => {
    const scalars = program.input("scalars", [12]);
    const control = { ...optimizer.gradientNorm(program), scalars, lossScale, ...(maxNorm ? { maxNorm } : {}) };
    optimizer.step(program, maxNorm ? stepControl(program, control) : scalars, averages);
    optimizer.afterStep(program, (after: Program) => {
      for (const [i, chunk] of parameters.chunks.entries()) after.assign(chunkOf(copy, i), chunk);
    });
    return {};
  });
  for (let at = 1; at <= 3; at++) {
    writeGradients(optimizer, at, maxNorm !== undefined && at === 2);
    await step.run({ scalars: stepScalars({ learningRate: 0.01, step: at, beta1: 0.9, averageFactor: 0.9 }) });
    await optimizer.finish();
  }
  const values = {
    parameters: await chunksOf(parameters),
    first: await chunksOf(optimizer.firstMoment),
    second: await chunksOf(optimizer.secondMoment),
    average: await chunksOf(averages),
    copy: await chunksOf(copy),
    lossScale: [Float32Array.from(await lossScale.read())],
  };
  step.destroy();
  optimizer.destroy();
  await room?.destroy();
  return values;
}

/** Gradients of a step, in all parameters one that overflowed if so asked. */
function writeGradients(optimizer: ArenaOptimizer, step: number, overflows: boolean): void {
  for (const name of optimizer.trained) {
    const size = optimizer.gradients.get(name).size;
    const gradient = hostNormal(size, { seed: 2, purpose: name, step });
    if (overflows) gradient[size - 1] = Number.POSITIVE_INFINITY;
    device.write(optimizer.gradients.get(name), gradient);
  }
}

function bytesOf(values: Float32Array | undefined): Buffer {
  return Buffer.from(values?.buffer ?? new ArrayBuffer(0));
}

function chunkOf(arena: Arena, index: number) {
  const chunk = arena.chunks[index];
  if (!chunk) throw new Error("no chunk");
  return chunk;
}

async function chunksOf(arena: StateArena): Promise<Float32Array[]> {
  if (!(arena instanceof HostArena))
    return Promise.all(arena.chunks.map(async (chunk) => Float32Array.from(await chunk.read())));
  await arena.settled();
  return arena.layout.chunks.map((_, i) => arena.chunk(i));
}

describe("state on the host", async () => {
  const plain = await train({ moments: false, average: false });
  const frozen = await train({ moments: false, average: false, frozen: "a" });
  const clipped = await train({ moments: false, average: false, maxNorm: 0.5 });
  const variants: [string, Offloaded][] = [
    ["both moments", { moments: true, average: false }],
    ["the average", { moments: false, average: true }],
    ["moments and average", { moments: true, average: true }],
    ["moments and average, some parameters frozen", { moments: true, average: true, frozen: "a" }],
    ["moments and average, clipped, with a loss scale", { moments: true, average: true, maxNorm: 0.5 }],
  ];

  it("is told by the loss scale that a step was skipped, and by other bits that gradients were shortened", () => {
    expect(clipped.lossScale?.[0]?.slice(0, 3)).toEqual(Float32Array.of(4, 1, 1));
    expect(bytesOf(clipped.parameters?.[0]).equals(bytesOf(plain.parameters?.[0]))).toBe(false);
  });

  it.each(variants)("gives the bits of state on the device: %s", async (_, offloaded) => {
    const values = await train(offloaded);
    const expected = offloaded.frozen ? frozen : offloaded.maxNorm ? clipped : plain;
    expect(expected.parameters?.[0]?.some((value) => value !== 0)).toBe(true);
    for (const [name, chunks] of Object.entries(expected))
      for (const [i, chunk] of chunks.entries())
        expect(Buffer.compare(bytesOf(values[name]?.[i]), bytesOf(chunk)), `${name} ${i}`).toBe(0);
    expect(bytesOf(values.copy?.[0]).equals(bytesOf(values.parameters?.[0]))).toBe(true);
  });
});

it.each([
  ["first", "a"],
  ["in the middle", "b"],
])("keeps no gradients and moments of what is frozen, and steps the rest as ever: %s", async (_, frozen) => {
  const all = await train({ moments: false, average: false });
  const some = await train({ moments: false, average: false, frozen });
  const whole = new Arena(device, "whole", entries);
  const kept = new Arena(
    device,
    "kept",
    entries.filter(({ name }) => !name.startsWith(frozen)),
  );
  expect(some.first?.map(({ length }) => length)).toEqual(kept.chunks.map(({ size }) => size));
  const parameters = (values: Record<string, Float32Array[]>, of: string) => partOf(whole, values.parameters?.[0], of);
  for (const { name, shape } of entries) {
    const size = shape.reduce((product, length) => product * length, 1);
    const start = hostNormal(size, { seed: 1, purpose: name });
    const expected = name.startsWith(frozen) ? start : parameters(all, name);
    expect(bytesOf(parameters(some, name)).equals(bytesOf(expected)), name).toBe(true);
    if (name.startsWith(frozen)) continue;
    expect(
      bytesOf(partOf(kept, some.first?.[0], name)).equals(bytesOf(partOf(whole, all.first?.[0], name))),
      name,
    ).toBe(true);
  }
});

/** A copy of the values of one tensor of an arena of one chunk. */
function partOf(arena: Arena, chunk: Float32Array | undefined, name: string): Float32Array | undefined {
  const from = 64 * arena.placeOf(name).firstBlock;
  return chunk?.slice(from, from + arena.get(name).size);
}

it("takes no memory for plans, and holds two slots of a piece there and back while it runs", async () => {
  const room = new StagingRoom(device, 3, 16 * pieceElements);
  expect(room.sizeBytes).toBe(2 * 2 * 3 * 4 * pieceElements);
  const before = device.counters.heldBytes;
  const [slot] = room.slots;
  const pieces = [1, 2, 3].map((value) => new Float32Array(100).fill(value));
  expect(device.counters.heldBytes).toBe(before);
  slot?.upload(pieces);
  slot?.download(pieces);
  await slot?.free();
  expect(device.counters.heldBytes - before).toBe(room.sizeBytes / 2);
  expect(pieces.map((piece) => piece[99])).toEqual([1, 2, 3]);
  expect(() => slot?.upload([new Float32Array(pieceElements + 64)])).toThrow(/expected at most 3 of 4096/);
  await room.destroy();
  expect(device.counters.heldBytes).toBe(before);
});

it("refuses to move pieces where a slot's tensor has no memory of its own", () => {
  const recorded = Object.create(device, { zeros: { value: () => device.program().empty([64]) } });
  const slot = new StagingSlot(recorded, 1, 64);
  const pieces = [new Float32Array(64)];
  for (const move of [() => slot.upload(pieces), () => slot.download(pieces)]) {
    expect(move).toThrow(ValidationError);
    expect(move).toThrow(/piece 0 is recorded by a program, expected state of the device/);
  }
});
