import { expect, it } from "vitest";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { appendMetrics, rewindMetrics } from "../../../refiner/training/metrics_log.ts";
import { resumeRun } from "../../../refiner/training/resume.ts";
import { saveRunCheckpoint } from "../../../refiner/training/run_checkpoint.ts";
import { MemoryRunStore } from "../../../refiner/training/run_store.ts";
import type { TrainingStage } from "../../../refiner/training/training_method.ts";
import { TrainingPlan } from "../../../refiner/training/training_plan.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const stages: readonly TrainingStage[] = [{ stage: 2, updates: 8, updatesPerEpoch: 2 }];
const plan = new TrainingPlan(stages);
const newest = "checkpoints/000000004.safetensors";

/** A store with checkpoints after two and four updates, whose tensor holds the number of updates. */
async function storeOfTwo(): Promise<MemoryRunStore> {
  const store = new MemoryRunStore();
  for (const update of [2, 4]) {
    const state = { arenas: {}, tensors: { weight: device.tensor([update, update, update]) } };
    await saveRunCheckpoint(store, update, state, { stage: "2", update: String(update), updates: String(update) });
  }
  return store;
}

async function bytesOf(store: MemoryRunStore, file: string): Promise<Uint8Array> {
  const source = await store.open(file);
  return new Uint8Array(await source.read(0, source.sizeBytes));
}

async function replace(store: MemoryRunStore, file: string, bytes: Uint8Array): Promise<void> {
  await store.write(file, (sink) => sink.write(bytes));
}

/** Goes on with the run of a store. */
async function resumed(store: MemoryRunStore, of = plan) {
  const weight = device.tensor([0, 0, 0]);
  const method = {
    name: "test",
    beginStage: async () => undefined,
    state: () => ({ arenas: {}, tensors: { weight } }),
  };
  const run = resumeRun(store, of, method);
  const notices: string[] = [];
  for (;;) {
    const next = await run.next();
    if (next.done)
      return { position: next.value?.position, notices: notices.join("\n"), weight: [...(await weight.read())] };
    if (next.value.kind === "notice") notices.push(next.value.text);
  }
}

it("goes back to the checkpoint before for any flipped bit of a checkpoint, and names it", async () => {
  const whole = await bytesOf(await storeOfTwo(), newest);
  const bits = Array.from({ length: 8 * whole.length }, (_, bit) => bit).filter((bit) => bit % 7 === 0);
  for (const bit of bits) {
    const store = await storeOfTwo();
    const bytes = whole.slice();
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    await replace(store, newest, bytes);
    const { position, notices, weight } = await resumed(store);
    expect({ bit, position, weight }).toEqual({ bit, position: { stage: 2, update: 2 }, weight: [2, 2, 2] });
    expect(notices).toMatch(/000000004\.safetensors: .*; going back to checkpoints\/000000002\.safetensors/);
  }
});

/** The newest checkpoint as a version without checksums wrote it. */
async function withoutChecksums(store: MemoryRunStore, counters: readonly [from: string, to: string] = ["", ""]) {
  const bytes = await bytesOf(store, newest);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const { __metadata__: metadata, ...tensors } = JSON.parse(header);
  const old = JSON.stringify({ __metadata__: { stage: metadata.stage, update: "4", updates: "4" }, ...tensors });
  const changed = new TextEncoder().encode(old.replace(...counters).padEnd(length, " "));
  bytes.set(changed.subarray(0, length), 8);
  await replace(store, newest, bytes);
}

it("goes on from a checkpoint without checksums, and says so", async () => {
  const store = await storeOfTwo();
  await withoutChecksums(store);
  const { position, notices } = await resumed(store);
  expect(position).toEqual({ stage: 2, update: 4 });
  expect(notices).toContain(`${newest} holds no checksums`);
});

it.each([
  ['"update":"4"', '"update":"-4"'],
  ['"update":"4"', '"update":"1e3"'],
  ['"update":"4"', '"update":"3"'],
  ['"update":"4"', '"update":"0"'],
  ['"stage":"2"', '"stage":"7"'],
  ['"updates":"4"', '"updates":"9"'],
  ['"updates":"4"', '"updates":"NaN"'],
])("goes back where counters without a checksum are nonsense: %s as %s", async (from, to) => {
  const store = await storeOfTwo();
  await withoutChecksums(store, [from, to]);
  const { position, notices } = await resumed(store);
  expect(position).toEqual({ stage: 2, update: 2 });
  expect(notices).toContain(newest);
});

it("tells which checkpoints are damaged if none is whole", async () => {
  const store = await storeOfTwo();
  for (const file of [newest, "checkpoints/000000002.safetensors"]) await replace(store, file, new Uint8Array(64));
  await expect(resumed(store)).rejects.toThrow(/all are damaged \(.*000000004.*000000002.*start the run again/);
});

it("does not go back for a checkpoint of other settings", async () => {
  const shorter = new TrainingPlan([{ stage: 2, updates: 3, updatesPerEpoch: 2 }]);
  await expect(resumed(await storeOfTwo(), shorter)).rejects.toThrow(
    /update 4 of stage 2, which this run does not have/,
  );
});

it("keeps what it writes, even where later checkpoints are there", async () => {
  const store = await storeOfTwo();
  const state = { arenas: {}, tensors: { weight: device.tensor([3, 3, 3]) } };
  await saveRunCheckpoint(store, 3, state, { stage: "2", update: "3", updates: "3" });
  expect(await store.list("checkpoints")).toEqual(["000000002.safetensors", "000000003.safetensors"]);
});

it("does not leave out an evaluation of a whole checkpoint that it cannot read", async () => {
  const store = await storeOfTwo();
  const state = { arenas: {}, tensors: { weight: device.tensor([5, 5, 5]) } };
  const evaluations = JSON.stringify([{ kind: "evaluation", stage: 2, epoch: 1 }, { kind: "of another version" }]);
  await saveRunCheckpoint(store, 5, state, { stage: "2", update: "5", updates: "5", evaluations });
  await expect(resumed(store)).rejects.toThrow(
    /evaluation \{"kind":"of another version"\}, which this version cannot read/,
  );
});

it("writes the same bytes for the same state", async () => {
  const [one, two] = [await storeOfTwo(), await storeOfTwo()];
  expect(await bytesOf(one, newest)).toEqual(await bytesOf(two, newest));
  expect((await openCheckpoint(await one.open(newest))).metadata.get("checksum")).toMatch(/^[0-9a-f]{64}$/);
});

it.each([
  ["cut off behind a brace", '{"kind":"update","stage":2,"update":3,"heads":{"cls":1}'],
  ["of zeros", "\0".repeat(40)],
  ["with a flipped bit in a key", '{"kind":"update","stagd":2,"update":3}'],
  ["with a flipped bit in its kind", '{"kind":"updatd","stage":2,"update":3}'],
  ["with counters below zero", '{"kind":"update","stage":2,"update":-3}'],
  ["that is no object", "17"],
])("drops and counts a line of the metrics %s", async (_, line) => {
  const store = new MemoryRunStore();
  const whole = { kind: "update", stage: 2, update: 1 };
  await appendMetrics(store, whole);
  await store.appendLine("metrics.jsonl", line);
  await appendMetrics(store, { ...whole, update: 2 });
  expect(await rewindMetrics(store, plan, { stage: 2, update: 4 })).toEqual({ evaluations: [], dropped: 1 });
  expect(await store.readText("metrics.jsonl")).toBe(
    `${JSON.stringify(whole)}\n${JSON.stringify({ ...whole, update: 2 })}\n`,
  );
});
