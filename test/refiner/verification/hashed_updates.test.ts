import { expect, it } from "vitest";
import { MemoryRunStore } from "../../../refiner/training/run_store.ts";
import { StateDifferenceError } from "../../../refiner/training/state_difference_error.ts";
import { hashesFile, readHashes } from "../../../refiner/verification/hash_log.ts";
import { isRechecked } from "../../../refiner/verification/hashed_updates.ts";
import { testDevice } from "../../device.ts";
import { flipBit, type SmallRun, smallRun, tensorsOf } from "./small_run.ts";

const device = await testDevice();
const limit = { timeout: 60_000 };

async function hashesOf(options: SmallRun = {}, store = new MemoryRunStore()): Promise<string> {
  await smallRun(device, store, options);
  return (await store.readText(hashesFile)) ?? "";
}

it("hashes what a stage begins with, every update and its programs", limit, async () => {
  const store = new MemoryRunStore();
  await smallRun(device, store);
  const lines = (await readHashes(store)) ?? [];
  expect(lines.map(({ kind, update }) => `${kind} ${update}`)).toEqual([
    ...["state 0", "programs 0", "state 1", "state 2", "state 3", "state 4", "state 5", "state 6"],
  ]);
  const states = lines.flatMap((line) => (line.kind === "state" ? [line] : []));
  expect(new Set(states.map(({ state }) => state)).size).toBe(7);
  expect(new Set(states.map(({ batch }) => batch)).size).toBe(7);
  expect(states[0]?.batch).toBeUndefined();
});

it(
  "gives the same lines in a rerun, in a run that was stopped twice, and where updates are computed twice",
  limit,
  async () => {
    const straight = await hashesOf();
    expect(await hashesOf()).toBe(straight);
    expect(await hashesOf({ settings: { recheck: 50 } })).toBe(straight);
    const broken = new MemoryRunStore();
    await smallRun(device, broken, { until: 2 });
    await broken.appendLine(hashesFile, '{"kind":"state","stage":1,"update":3,"state":"00'); // cut off by a kill
    await smallRun(device, broken, { until: 4, resume: true });
    expect(await hashesOf({ resume: true }, broken)).toBe(straight);
  },
);

it("another seed, and other images, have other hashes from their place on", limit, async () => {
  const [straight, seed] = [await hashesOf(), await hashesOf({ settings: { seed: 1 } })];
  const [first, second] = [straight, seed].map((text) => text.split("\n"));
  expect(first?.[0]).not.toBe(second?.[0]);
  expect(first?.[1]).toBe(second?.[1]); // the programs are the same
});

it("costs one submit an update, and another one where the state is hashed before it, too", limit, async () => {
  const submits = async (settings: SmallRun["settings"]) => {
    const counts: number[] = [];
    await smallRun(device, new MemoryRunStore(), {
      settings: { ...settings, checkpointEvery: 1000 },
      faults: {
        atRest: async () => {
          counts.push(device.counters.submits);
        },
      },
    });
    return counts.slice(2).map((count, i) => count - (counts[i + 1] ?? 0));
  };
  const update = 4 + 4 + 1; // gradients of a part, their place in the sum, and the optimiser
  expect(await submits({})).toEqual([1, 2, 3, 4].map(() => update + 1));
  expect(await submits({ recheck: 5 })).toEqual([1, 2, 3, 4].map(() => update + 2));
  expect(await submits({ recheck: 1 })).toEqual([1, 1, 1, 2].map((hashes) => update + hashes)); // before the fifth
});

it("tells a bit that flipped in memory between two updates, and saves nothing behind it", limit, async () => {
  const names = new Set<string>();
  for (let flip = 0; flip < 5; flip++) {
    const store = new MemoryRunStore();
    let flipped = "";
    const atRest: NonNullable<SmallRun["faults"]>["atRest"] = async ({ total }, method) => {
      if (total !== 1 + flip) return;
      const tensors = tensorsOf(method);
      const [name, tensor] = tensors[(flip * 17) % tensors.length] ?? tensors[0] ?? [];
      if (name === undefined || tensor === undefined) throw new Error("no tensor");
      flipped = name;
      await flipBit(tensor, 1009 * flip + 3);
    };
    const error = await smallRun(device, store, { settings: { recheck: 100 }, faults: { atRest } }).catch(
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof StateDifferenceError)) throw error;
    expect(error.tensors).toEqual([flipped]);
    expect(error.message).toMatch(
      `pretrain: before update ${2 + flip} of stage 1 the state is not the one that the update before it left: ${flipped} differs; a bit flipped`,
    );
    names.add(flipped);
    expect(await store.list("checkpoints")).toEqual(flip < 2 ? [] : ["000000003.safetensors"]);
  }
  expect(names.size).toBe(5);
});

it.each([1, 2])("tells an update whose computation %i went wrong", limit, async (wrong) => {
  for (let flip = 0; flip < 3; flip++) {
    const computed: NonNullable<SmallRun["faults"]>["computed"] = async ({ total }, method, attempt) => {
      const [, tensor] = tensorsOf(method)[flip * 7] ?? [];
      if (total === 2 && attempt === wrong && tensor) await flipBit(tensor, 31 * flip);
    };
    const run = smallRun(device, new MemoryRunStore(), { settings: { recheck: 100 }, faults: { computed } });
    await expect(run).rejects.toThrow(
      /update 3 of stage 1 was computed twice from one state and gave two results: \S+ differs/,
    );
  }
});

it("does not save a state that changed since it was hashed", limit, async () => {
  const store = new MemoryRunStore();
  const beforeSave: NonNullable<SmallRun["faults"]>["beforeSave"] = async (method) => {
    const [, tensor] = tensorsOf(method)[0] ?? [];
    if (tensor) await flipBit(tensor, 5);
  };
  const run = smallRun(device, store, { faults: { beforeSave }, until: 3 });
  await expect(run).rejects.toThrow(
    /checkpoint: the state after 3 updates is not the one that the last of them left, and is not saved/,
  );
  expect(await store.list("checkpoints")).toEqual([]);
});

it("does not go on from a checkpoint whose recorded hash is another", limit, async () => {
  const store = new MemoryRunStore();
  await smallRun(device, store, { until: 3 });
  const text = (await store.readText(hashesFile)) ?? "";
  const edited = text.replace(
    /("update":3,.*"state":")(.)/,
    (_, head: string, digit: string) => head + (digit === "0" ? "1" : "0"),
  );
  expect(edited).not.toBe(text);
  await store.writeText(hashesFile, edited);
  await expect(smallRun(device, store, { resume: true })).rejects.toThrow(
    /pretrain: the state after update 3 of stage 1 is not the one that the run recorded: no single tensor is told by its tag; the checkpoint or hashes\.jsonl was changed/,
  );
});

it("spreads rechecks evenly", () => {
  const chosen = (percent: number, updates: number) =>
    Array.from({ length: updates }, (_, i) => i).filter((update) => isRechecked(update, percent));
  expect(chosen(1, 300)).toEqual([99, 199, 299]);
  expect(chosen(100, 3)).toEqual([0, 1, 2]);
  expect(chosen(0, 1000)).toEqual([]);
  expect(chosen(40, 1000)).toHaveLength(400);
});
