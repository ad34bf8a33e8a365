import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Program, recordProgram, type Tensor } from "../../../../engine/index.ts";
import { expectClose, randomSource, toleranceOf } from "../../../../engine/testing/index.ts";
import {
  headMetricNames,
  type NeighbourSource,
  summarize,
} from "../../../../refiner/methods/refine/contrastive_summary.ts";
import { NeighbourQueue } from "../../../../refiner/methods/refine/queue.ts";
import { testDevice } from "../../../device.ts";

const device = await testDevice();
const columns = 4;

/** A queue as the published state dictionaries hold it, on the host. */
interface HostQueue {
  readonly entries: Float32Array;
  readonly samples: Int32Array;
  readonly classes: Int32Array;
  readonly ages: Int32Array;
  readonly pointer: number;
}

interface Batch {
  /** `[V_g · B, P]` */
  readonly projections: Float32Array;
  readonly samples: Int32Array;
  readonly classes: Int32Array;
}

interface Lookup {
  readonly k: number;
  readonly training?: boolean;
  readonly oracle?: boolean;
  readonly choice?: readonly number[];
}

function random(seed: number, count: number): Float32Array {
  const next = randomSource(seed);
  return Float32Array.from({ length: count }, () => 2 * next() - 1);
}

function queueOf(host: HostQueue): NeighbourQueue {
  const queue = new NeighbourQueue(device, host.samples.length, columns);
  device.write(queue.entries, host.entries);
  device.write(queue.samples, host.samples);
  device.write(queue.classes, host.classes);
  device.write(queue.ages, host.ages);
  device.write(queue.pointer, Uint32Array.of(host.pointer));
  return queue;
}

/** A queue of random entries: slot s holds sample s mod 10 of class s mod 3 and has age s. */
function hostQueue(seed: number, length: number, pointer = 0): HostQueue {
  return {
    entries: random(seed, length * columns),
    samples: Int32Array.from({ length }, (_, slot) => slot % 10),
    classes: Int32Array.from({ length }, (_, slot) => slot % 3),
    ages: Int32Array.from({ length }, (_, slot) => slot),
    pointer,
  };
}

function batchOf(seed: number, batch: number, globalViews = 2): Batch {
  return {
    projections: random(seed, globalViews * batch * columns),
    samples: Int32Array.from({ length: batch }, (_, b) => b % 10),
    classes: Int32Array.from({ length: batch }, (_, b) => b % 3),
  };
}

async function look(queue: NeighbourQueue, batch: Batch, { k, training = true, oracle = false, choice }: Lookup) {
  const rows = batch.projections.length / columns;
  const samples = device.tensor(batch.samples, [batch.samples.length], "i32");
  const recorded = recordProgram(device, (program) => {
    const classes = device.tensor(batch.classes, [batch.classes.length], "i32");
    const { own, swapped, slots, chosen, similarities } = queue.lookup(program.input("projections", [rows, columns]), {
      k,
      ...(training ? { samples } : {}),
      classes,
      oracle,
      choice: device.tensor(choice ?? new Uint32Array(rows), [rows], "u32"),
    });
    const metrics = metricsOf(program, { slots, similarities: chosen, classes, queue, stored: 0 });
    return { own, swapped, slots, similarities, metrics };
  });
  const names = ["own", "swapped", "slots", "similarities", "metrics"] as const;
  const values = await (await recorded.run({ projections: batch.projections }, [...names])).read();
  recorded.destroy();
  return values;
}

/** The metrics of a lookup, beside those of losses of zero between two views. */
function metricsOf(program: Program, neighbours: NeighbourSource): Tensor {
  const batch = neighbours.classes.size;
  const counts = { batch, views: 2, globalViews: 2, localFirst: 2, localViews: 0 };
  return summarize(program, device.zeros([2 * batch, 2, 2]), counts, { neighbours }).metrics;
}

/** Rows at unit length, in float64; a row of zeros stays zero. */
function unitRows(values: ArrayLike<number>): number[] {
  const list = Array.from(values);
  return list.map((value, i) => {
    const first = i - (i % columns);
    return value / Math.max(Math.hypot(...list.slice(first, first + columns)), 1e-12);
  });
}

/** Cosine similarity of row r with a slot, in float64. */
function cosine(batch: Batch, row: number, host: HostQueue, slot: number): number {
  let [dot, a, b] = [0, 0, 0];
  for (let c = 0; c < columns; c++) {
    const x = batch.projections[row * columns + c] ?? 0;
    const y = host.entries[slot * columns + c] ?? 0;
    dot += x * y;
    a += x * x;
    b += y * y;
  }
  return dot / Math.sqrt(a * b);
}

describe("the queue", () => {
  it("finds the most similar entry that is not the sample's own", { timeout: 120_000 }, async () => {
    const drawn = fc.record({
      seed: fc.integer({ min: 1, max: 1e9 }),
      length: fc.constantFrom(16, 31, 64, 130),
      batch: fc.constantFrom(1, 3, 16),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ seed, length, batch: size }) => {
        const host = hostQueue(seed, length);
        const batch = batchOf(seed + 1, size);
        const { slots } = await look(queueOf(host), batch, { k: 1 });
        Array.from(slots).forEach((slot, row) => {
          expect(host.samples[slot]).not.toBe(batch.samples[row % size]);
          const allowed = Array.from({ length }, (_, s) => s).filter(
            (s) => host.samples[s] !== batch.samples[row % size],
          );
          const best = Math.max(...allowed.map((s) => cosine(batch, row, host, s)));
          expect(best - cosine(batch, row, host, slot)).toBeLessThanOrEqual(toleranceOf(columns + 8));
        });
      }),
      { numRuns: 15 },
    );
  });

  it("gives own entries similarity -1, so they come last where k reaches them", async () => {
    const host = { ...hostQueue(5, 4), samples: Int32Array.of(0, 0, 7, 8) };
    const batch = { ...batchOf(6, 1, 1), samples: Int32Array.of(0) };
    const { similarities } = await look(queueOf(host), batch, { k: 4 });
    expect(Array.from(similarities).slice(2)).toEqual([-1, -1]);
  });

  it("excludes nothing in evaluation mode", async () => {
    const host = hostQueue(1, 16);
    const batch = batchOf(2, 4, 1);
    batch.projections.set(host.entries.subarray(0, 4 * columns)); // row b equals slot b, of its own sample
    expect(Array.from((await look(queueOf(host), batch, { k: 1, training: false })).slots)).toEqual([0, 1, 2, 3]);
    expect(Array.from((await look(queueOf(host), batch, { k: 1 })).slots)).not.toContain(0);
  });

  it("takes the chosen rank and returns the entry at unit length", async () => {
    const host = hostQueue(3, 32);
    const batch = batchOf(4, 2);
    const choice = [0, 1, 2, 4];
    const { slots, swapped } = await look(queueOf(host), batch, { k: 5, choice });
    Array.from(slots).forEach((slot, row) => {
      const ranked = Array.from({ length: 32 }, (_, s) => s)
        .filter((s) => host.samples[s] !== batch.samples[row % 2])
        .sort((a, b) => cosine(batch, row, host, b) - cosine(batch, row, host, a));
      expect(slot).toBe(ranked[choice[row] ?? 0]);
      const stored = host.entries.subarray(slot * columns, (slot + 1) * columns);
      const found = Array.from(swapped).slice(row * columns, (row + 1) * columns);
      expectClose("swapped", found, unitRows(stored), toleranceOf(columns + 8));
    });
  });

  it("scales projections and entries of any size to unit length, and zeros to zeros", {
    timeout: 120_000,
  }, async () => {
    const kind = fc.constantFrom(0, 1e-25, 1, 1e30);
    await fc.assert(
      fc.asyncProperty(kind, kind, fc.integer({ min: 1, max: 1e9 }), async (ownScale, otherScale, seed) => {
        const host = hostQueue(seed, 9);
        const batch = batchOf(seed + 1, 3);
        host.entries.forEach((value, i) => {
          host.entries[i] = otherScale * value;
        });
        batch.projections.forEach((value, i) => {
          batch.projections[i] = ownScale * value;
        });
        const { own, swapped, slots } = await look(queueOf(host), batch, { k: 2 });
        const entries = Array.from(slots).flatMap((slot) => [
          ...host.entries.subarray(slot * columns, (slot + 1) * columns),
        ]);
        // A sum of squares, a root, a division and two products; lengths below 1e-12 are divided by that.
        expectClose("own", own, unitRows(batch.projections), toleranceOf(columns + 8), 1e-12);
        expectClose("swapped", swapped, unitRows(entries), toleranceOf(columns + 8), 1e-12);
      }),
      { numRuns: 12 },
    );
  });

  it("returns only neighbours of the same class under oracle guidance", async () => {
    const host = hostQueue(7, 60);
    const batch = batchOf(8, 9);
    const { slots } = await look(queueOf(host), batch, { k: 1, oracle: true });
    const classes = Array.from(slots, (slot) => host.classes[slot]);
    expect(classes).toEqual([...batch.classes, ...batch.classes]);
    const free = await look(queueOf(host), batch, { k: 1 });
    expect(Array.from(free.slots)).not.toEqual(Array.from(slots));
  });

  it("reports mean similarity, age and class agreement of the chosen entries", async () => {
    const host = hostQueue(9, 40);
    const batch = { ...batchOf(10, 5), classes: Int32Array.of(0, 1, 2, -1, 0) };
    const { slots, metrics } = await look(queueOf(host), batch, { k: 1 });
    const rows = Array.from(slots).map((slot, row) => ({ slot, row, label: batch.classes[row % 5] ?? -1 }));
    const labelled = rows.filter(({ label }) => label >= 0);
    const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
    const expected = {
      nnSimilarity: mean(rows.map(({ slot, row }) => cosine(batch, row, host, slot))),
      nnAge: mean(rows.map(({ slot }) => host.ages[slot] ?? 0)),
      nnAccuracy: mean(labelled.map(({ slot, label }) => Number(host.classes[slot] === label))),
    };
    expectClose(
      "metrics",
      metrics.slice(headMetricNames.indexOf("nnSimilarity")),
      [expected.nnSimilarity, expected.nnAge, expected.nnAccuracy],
      toleranceOf(columns + 16),
    );
  });

  it("stores view 0 at the pointer with wrap-around and ages every entry by the batch", {
    timeout: 120_000,
  }, async () => {
    const drawn = fc
      .record({ length: fc.constantFrom(5, 16, 65), batch: fc.constantFrom(1, 3, 5), start: fc.nat(64) })
      .map((drawn) => ({ ...drawn, start: drawn.start % drawn.length }));
    await fc.assert(
      fc.asyncProperty(drawn, async ({ length, batch: size, start }) => {
        const host = hostQueue(11, length, start);
        const queue = queueOf(host);
        const batch = batchOf(12, size, 1);
        const insert = recordProgram(device, (program) => {
          const samples = device.tensor(batch.samples, [size], "i32");
          const classes = device.tensor(batch.classes, [size], "i32");
          const slots = device.zeros([size], "u32");
          metricsOf(program, { slots, similarities: device.zeros([size]), classes, queue, stored: size });
          queue.insert(program, device.tensor(batch.projections, [size, columns]), samples, classes);
          return {};
        });
        const { entries, samples, classes, ages } = structuredClone(host);
        for (let time = 0; time < 3; time++) {
          await insert.run();
          for (let b = 0; b < size; b++) {
            const slot = (start + time * size + b) % length;
            entries.set(batch.projections.subarray(b * columns, (b + 1) * columns), slot * columns);
            samples[slot] = batch.samples[b] ?? 0;
            classes[slot] = batch.classes[b] ?? 0;
            ages[slot] = 0;
          }
          for (let slot = 0; slot < length; slot++) ages[slot] = (ages[slot] ?? 0) + size;
        }
        insert.destroy();
        expect(await queue.entries.read()).toEqual(entries);
        expect(await queue.samples.read()).toEqual(samples);
        expect(await queue.classes.read()).toEqual(classes);
        expect(await queue.ages.read()).toEqual(ages);
        expect(Array.from(await queue.pointer.read())).toEqual([(start + 3 * size) % length]);
      }),
      { numRuns: 10 },
    );
  });

  it("refuses a k or a batch that is larger than itself", () => {
    const queue = new NeighbourQueue(device, 8, columns);
    const classes = device.zeros([9], "i32");
    const lookup = () => queue.lookup(device.zeros([9, columns]), { k: 9, classes, choice: device.zeros([9], "u32") });
    expect(lookup).toThrow("queue: top-k 9 is larger than the queue of 8; use a longer queue or a smaller k");
    const insert = () =>
      recordProgram(device, (program) => {
        queue.insert(program, device.zeros([9, columns]), classes, classes);
        return {};
      });
    expect(insert).toThrow("a batch of 9 does not fit a queue of 8");
  });
});
