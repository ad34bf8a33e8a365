import { describe, expect, it, vi } from "vitest";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../../models/index.ts";
import { BrokenImageError, type ImageSource, imagesInMemory } from "../../../refiner/data/index.ts";
import type { Exchange } from "../../../refiner/exchange/exchange.ts";
import { type RefineEvent, type RefineOptions, refine } from "../../../refiner/methods/refine/refine.ts";
import { type RefineSettings, refineConfig } from "../../../refiner/methods/refine/refine_config.ts";
import { MemoryRunStore } from "../../../refiner/training/run_store.ts";
import { verifyRun } from "../../../refiner/verification/verify_run.ts";
import { testDevice } from "../../device.ts";
import { localRanks } from "./local_ranks.ts";

const device = await testDevice();
const reproducible = await testDevice({ reproducible: true });
const settings: RefineSettings = {
  heads: [0, 1, "last"],
  projectorWidth: 32,
  predictorWidth: 32,
  outputWidth: 16,
  queueLength: 64,
  topK: 4,
  batch: 12,
  stage2Epochs: 1,
  stage2Warmup: 1,
  stage3Epochs: 1,
  stage3Warmup: 1,
  localViews: 2,
  blur: [0.5, 0.1, 0.5],
  blurSigma: [0.1, 1],
  checkpointMinutes: 0.0000000001,
  maxBad: 0.2,
};
/** Of the losses of the first updates, relative. */
const lossBound = 1e-6;

function images(broken: readonly number[] = []): ImageSource {
  const whole = imagesInMemory(
    Array.from({ length: 40 }, (_, i) => ({
      width: 20,
      height: 16,
      channels: 3 as const,
      data: Uint8Array.from({ length: 960 }, (__, k) => (k * (i + 3) * 7 + (i % 5) * 50) & 255),
    })),
    { labels: Array.from({ length: 40 }, (_, i) => i % 5) },
  );
  const load: ImageSource["load"] = async (index, options) => {
    if (broken.includes(index)) throw new BrokenImageError(`image ${index}`, "it is torn");
    return whole.load(index, options);
  };
  return { ...whole, length: whole.length, label: (i) => whole.label(i), name: (i) => whole.name(i), load };
}

function encoder(on = device): VisionTransformer {
  const config = vitConfig({ patchPixels: 4, width: 24, blocks: 3, heads: 3, heightPixels: 16, widthPixels: 16 });
  const model = new VisionTransformer(on, config);
  initializeParameters(model.parameters, vitParameters(config), 1);
  model.writeSincosPositions();
  return model;
}

interface Run {
  readonly events: readonly RefineEvent[];
  readonly store: MemoryRunStore;
}

async function refined(own: RefineSettings, more: Partial<RefineOptions> = {}): Promise<Run> {
  const store = new MemoryRunStore();
  const config = refineConfig({ ...settings, ...own });
  const run = refine({ encoder: encoder(), images: images(), config, store, ...more });
  const events: RefineEvent[] = [];
  for await (const event of run) events.push(event);
  return { events, store };
}

/** The same on several ranks, which share the first one's store. */
async function onRanks(
  size: number,
  own: RefineSettings,
  more: (exchange: Exchange) => Partial<RefineOptions> = () => ({}),
) {
  const { exchanges, handed } = localRanks(size);
  const store = new MemoryRunStore();
  const runs = await Promise.all(exchanges.map((exchange) => refined(own, { store, ...more(exchange), exchange })));
  return { events: runs[0]?.events ?? [], store, handed };
}

const lossesOf = ({ events }: Pick<Run, "events">): number[] =>
  events.flatMap((event) => (event.kind === "update" ? Object.values(event.heads).map((head) => head.loss) : []));

/** All tensors of the newest checkpoint, of or before an update. */
async function stateOf({ store }: Pick<Run, "store">, file?: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const name = file ?? (await store.list("checkpoints")).at(-1);
  const checkpoint = await openCheckpoint(await store.open(`checkpoints/${name}`));
  const tensors = new Map<string, readonly number[]>();
  for (const key of checkpoint.tensors.keys()) tensors.set(key, Array.from((await checkpoint.read(key)).data, Number));
  return tensors;
}

function worst(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(0, ...b.map((value, i) => Math.abs((a[i] ?? Number.NaN) - value) / Math.max(1e-6, Math.abs(value))));
}

describe("stage 2 on several ranks", () => {
  it.each([2, 3, 4])("gives the file of one process, with %i ranks", { timeout: 20_000 }, async (ranks) => {
    const own = { stage2Epochs: 2, stage3Epochs: 0 };
    const one = await refined(own);
    const told = vi.spyOn(device, "notice");
    const several = await onRanks(ranks, own);
    expect(told, "nothing is over the limits").not.toHaveBeenCalled();
    told.mockRestore();
    expect(lossesOf(several)).toEqual(lossesOf(one));
    expect(await stateOf(several)).toEqual(await stateOf(one));
  });
});

describe("both stages on several ranks", () => {
  const variants: Record<string, { ranks: number; own: RefineSettings }> = {
    "2 ranks": { ranks: 2, own: {} },
    "more ranks than heads": { ranks: 4, own: { heads: [1, "last"] } },
    "a teacher and micro-batches": { ranks: 2, own: { teacherFactor: 0.9, microBatch: 4, topK: 1 } },
    "offloaded state": { ranks: 2, own: { offload: ["moments", "average"] } },
  };

  it.each(Object.entries(variants))(
    "are those of one process, with %s",
    { timeout: 40_000 },
    async (_, { ranks, own }) => {
      const one = await refined(own);
      const several = await onRanks(ranks, own);
      console.log(`losses ${worst(lossesOf(several), lossesOf(one)).toExponential(1)}`);
      expect(worst(lossesOf(several), lossesOf(one))).toBeLessThanOrEqual(lossBound);
      const [found, expected] = [await stateOf(several), await stateOf(one)];
      expect([...found.keys()]).toEqual([...expected.keys()]);
      for (const [name, values] of expected)
        if (/queue\.(idx|cls|age|ptr)$|counters\./.test(name)) expect([name, found.get(name)]).toEqual([name, values]);
    },
  );
});

describe("a reproducible refinement", () => {
  const own: RefineSettings = {
    ...{ reproducible: true, gradientPart: 1, checkpointMinutes: 60 },
    ...{ stage2Epochs: 2, stage3Epochs: 5, stage3Warmup: 1 },
  };
  const more = () => ({ encoder: encoder(reproducible) });
  const hashesOf = async ({ store }: Pick<Run, "store">): Promise<string[]> => {
    const lines = ((await store.readText("hashes.jsonl")) ?? "").trimEnd().split("\n");
    return lines.filter((line) => JSON.parse(line).kind === "state"); // programs are cut otherwise on each number of ranks
  };

  it("has the hashes and bytes of one process in 21 updates on 2, 3 and 4 ranks", { timeout: 120_000 }, async () => {
    const one = await refined(own, more());
    const [hashes, state] = [await hashesOf(one), await stateOf(one)];
    expect(hashes).toHaveLength(2 + 21); // and what the stages began with
    const variants: Record<number, RefineSettings> = { 2: { microBatch: 3, recheck: 10 }, 3: { offload: ["moments"] } };
    for (const ranks of [2, 3, 4]) {
      const several = await onRanks(ranks, { ...own, ...variants[ranks] }, more);
      expect(lossesOf(several)).toEqual(lossesOf(one));
      expect(await hashesOf(several)).toEqual(hashes);
      expect(await stateOf(several)).toEqual(state);
    }
    const verified = await verifyRun(one.store, {}, async (store, until) => {
      await onRanks(2, own, () => ({ ...more(), store, until, resume: true }));
    });
    expect(verified).toMatchObject({ from: 18, equal: 3, updates: 3 });
    await one.store.remove(`checkpoints/${(await one.store.list("checkpoints")).at(-1)}`);
    await onRanks(2, own, () => ({ ...more(), store: one.store, resume: true }));
    expect(await hashesOf(one)).toEqual(hashes);
    expect(await stateOf(one)).toEqual(state);
  });

  it("is refused where ranks cannot share its parts", async () => {
    const [exchange] = localRanks(3).exchanges;
    await expect(refined({ reproducible: true }, { ...more(), exchange })).rejects.toThrow(
      /refine: 3 ranks cannot share parts of 3 images \(gradientPart\) of a batch of 12; set gradientPart 2 or 4/,
    );
  });

  it("ends where ranks do not hold the same encoder", { timeout: 60_000 }, async () => {
    const runs = localRanks(2).exchanges.map((exchange) => {
      const other = encoder(reproducible);
      if (exchange.rank === 1) reproducible.write(other.parameters.get("norm.bias"), new Float32Array(24).fill(0.5));
      return refined({ ...own, stage3Epochs: 0 }, { exchange, encoder: other });
    });
    for (const run of await Promise.allSettled(runs))
      expect(String(run.status === "rejected" && run.reason)).toMatch(/hashes: rank 1 has another encoder than rank 0/);
  });
});

describe("what ranks hand to exchanges in an update of stage 3", () => {
  it("is the encoder's gradients once, and features and their gradients of heads owned elsewhere", {
    timeout: 60_000,
  }, async () => {
    const updates = 3;
    const { handed } = await onRanks(2, { stage2Epochs: 0, checkpointMinutes: 60 });
    const model = encoder();
    const views = 4;
    const perHead = 4 * views * (12 / 2) * model.config.width;
    const elsewhere = [1, 2]; // of three heads the second one lives on rank 1
    handed.forEach(({ sums, features, control }, rank) => {
      expect(sums).toBe(updates * model.parameters.sizeBytes);
      expect(features).toBe(updates * 2 * (elsewhere[rank] ?? 0) * perHead);
      expect(control).toBeLessThan(updates * 65_536);
    });
  });
});

describe("broken images in a shared batch", () => {
  it("are replaced as in one process, and told by the first rank", { timeout: 60_000 }, async () => {
    const broken = [3, 17, 18, 30];
    const own = { stage2Epochs: 2, stage3Epochs: 0 };
    const one = await refined(own, { images: images(broken) });
    const several = await onRanks(3, own, () => ({ images: images(broken) }));
    const toldBy = ({ events }: Pick<Run, "events">): string[] =>
      events.flatMap((event) => (event.kind === "broken" ? [event.text] : [])).sort();
    expect(toldBy(several)).toEqual(toldBy(one));
    expect(toldBy(one).length).toBeGreaterThan(1);
    expect(await stateOf(several)).toEqual(await stateOf(one));
  });

  it("end all ranks alike where there are too many", { timeout: 60_000 }, async () => {
    const { exchanges } = localRanks(2);
    const own = { maxBad: 0.05 };
    const runs = exchanges.map((exchange) => refined(own, { exchange, images: images([1, 2, 3, 4, 5, 6, 7, 8]) }));
    const failures = (await Promise.allSettled(runs)).map((run) =>
      run.status === "rejected" ? String(run.reason) : "",
    );
    expect(failures[0]).toMatch(/of 40 images are broken, more than the accepted 5 %/);
    expect(failures[1]).toBe(failures[0]);
  });
});

describe("checkpoints of several ranks", () => {
  it("go on with any number of them", { timeout: 120_000 }, async () => {
    const own = { microBatch: 6 };
    const one = await refined(own);
    const { store } = one;
    const files = await store.list("checkpoints");
    const last = `checkpoints/${files.at(-1)}`;
    const expected = await stateOf(one);
    await store.remove(last);
    const { exchanges } = localRanks(2);
    const runs = exchanges.map((exchange) => refined(own, { store, exchange, resume: true }));
    const [events = []] = (await Promise.all(runs)).map((run) => run.events);
    expect(events.filter(({ kind }) => kind === "update")).toHaveLength(1);
    expect(await stateOf(one)).toEqual(expected);
  });

  it("are refused where the ranks' encoders differ", { timeout: 60_000 }, async () => {
    const { exchanges } = localRanks(2);
    const runs = exchanges.map((exchange) => {
      const other = encoder();
      if (exchange.rank === 1) device.write(other.parameters.get("norm.bias"), new Float32Array(24).fill(0.5));
      return refined({ stage3Epochs: 0 }, { exchange, encoder: other });
    });
    const failures = (await Promise.allSettled(runs)).map((run) =>
      run.status === "rejected" ? String(run.reason) : "",
    );
    for (const failure of failures) expect(failure).toMatch(/rank 1 has another encoder than rank 0/);
  });
});
