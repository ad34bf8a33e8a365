import { expect, it } from "vitest";
import { MemoryRunStore } from "../../../refiner/training/run_store.ts";
import { hashesFile } from "../../../refiner/verification/hash_log.ts";
import { type VerifiedRange, verifyRun } from "../../../refiner/verification/verify_run.ts";
import { testDevice } from "../../device.ts";
import { type SmallRun, smallRun, tensorsOf } from "./small_run.ts";

const device = await testDevice();
const limit = { timeout: 60_000 };

async function trained(options: SmallRun = {}): Promise<MemoryRunStore> {
  const store = new MemoryRunStore();
  await smallRun(device, store, options);
  return store;
}

function verified(store: MemoryRunStore, range: VerifiedRange = {}, options: SmallRun = {}) {
  return verifyRun(store, range, (part, until) => smallRun(device, part, { ...options, until, resume: true }));
}

async function filesOf(store: MemoryRunStore): Promise<string[]> {
  const names = await store.list("checkpoints");
  const texts = [await store.readText("metrics.jsonl"), await store.readText(hashesFile)];
  return [...names, ...texts.map(String)];
}

const file = "checkpoints/000000006.safetensors";

/** Changes one byte of a stored file. */
async function damage(store: MemoryRunStore, place: (bytes: Uint8Array) => number): Promise<void> {
  const source = await store.open(file);
  const bytes = (await source.read(0, source.sizeBytes)).slice();
  const at = place(bytes);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await store.write(file, (sink) => sink.write(bytes));
}

it(
  "finds a run equal, from its older checkpoint, from the beginning, or in part, and writes nothing",
  limit,
  async () => {
    const store = await trained();
    const before = await filesOf(store);
    expect(await verified(store)).toEqual({ from: 3, equal: 3, updates: 3, hasSamePrograms: true });
    expect(await verified(store, { from: 0 })).toMatchObject({ from: 0, equal: 6, updates: 6 });
    expect(await verified(store, { from: 0, updates: 2 })).toMatchObject({ from: 0, equal: 2, updates: 2 });
    expect(await filesOf(store)).toEqual(before);
  },
);

it("names update, tensor and byte where another computation differs", limit, async () => {
  const store = await trained();
  const wrong = (update: number): SmallRun => ({
    faults: {
      computed: async ({ total }, method) => {
        const [, tensor] = tensorsOf(method).find(([name]) => name === "optimizer.decoder.m.decoder_norm.bias") ?? [];
        if (total + 1 !== update || !tensor) return;
        const values = await tensor.read();
        values[1] = Number(values[1]) + 1;
        device.write(tensor, values);
      },
    },
  });
  const tensors = ["optimizer.decoder.m.decoder_norm.bias"];
  const middle = await verified(store, {}, wrong(5));
  expect(middle).toMatchObject({ equal: 1, difference: { what: "state", stage: 1, update: 5, updates: 5, tensors } });
  const last = await verified(store, {}, wrong(6));
  expect(last).toMatchObject({
    equal: 2,
    difference: { what: "state", update: 6, tensors, byte: { tensor: tensors[0] } },
  });
  expect(last.difference?.byte?.byte).toBeGreaterThanOrEqual(4);
  expect(last.difference?.byte?.byte).toBeLessThan(8);
});

it("tells a changed byte of the checkpoint that it ends at, and of the one that it begins from", limit, async () => {
  const store = await trained();
  await damage(store, (bytes) => bytes.length - 1);
  const { equal, difference } = await verified(store);
  expect(equal).toBe(3);
  expect(difference).toMatchObject({ what: "checkpoint", update: 6, tensors: [difference?.byte?.tensor] });
  const longer = await trained({ settings: { epochs: 3 } });
  await damage(longer, (bytes) => bytes.length - 1);
  await expect(verified(longer, {}, { settings: { epochs: 3 } })).rejects.toThrow(
    /no checkpoint to resume from: all are damaged \(checkpoints\/000000006\.safetensors: it is damaged: the checksum of \S+ is wrong/,
  );
});

it("tells changed hashes, of a state and of a batch, and other images", limit, async () => {
  const edited = async (kind: "state" | "batch", update: number) => {
    const store = await trained();
    const text = (await store.readText(hashesFile)) ?? "";
    const line = new RegExp(`("update":${update},.*"${kind}":")(.)`);
    await store.writeText(
      hashesFile,
      text.replace(line, (_, head: string, digit: string) => head + (digit === "0" ? "1" : "0")),
    );
    return store;
  };
  expect(await verified(await edited("state", 4))).toMatchObject({
    equal: 0,
    difference: { what: "state", update: 4, tensors: [] },
  });
  expect(await verified(await edited("batch", 5))).toMatchObject({
    equal: 1,
    difference: { what: "batch", update: 5 },
  });
  expect(await verified(await edited("state", 3))).toMatchObject({ difference: { what: "checkpoint", update: 3 } });
  const seed = await verified(await trained(), { from: 0 }, { settings: { seed: 9 } });
  expect(seed).toMatchObject({ equal: 0, difference: { what: "checkpoint", update: 0 } });
});

it("refuses a run without hashes, and a range that it has none for, by a remedy", limit, async () => {
  const store = await trained();
  const refused: [VerifiedRange, RegExp][] = [
    [{ from: 2 }, /there is no checkpoint after 2 updates with hashes behind it; --from may be 0, 3/],
    [{ from: 6 }, /--from may be 0, 3/],
    [{ updates: 4 }, /hashes reach to update 6, 1 fewer than asked for; use --updates 3/],
  ];
  for (const [range, message] of refused) await expect(verified(store, range)).rejects.toThrow(message);
  const text = (await store.readText(hashesFile)) ?? "";
  await store.writeText(
    hashesFile,
    `${text
      .split("\n")
      .filter((line) => !line.includes('"update":5,'))
      .join("\n")}`,
  );
  await expect(verified(store)).rejects.toThrow(
    /2 of 3 updates were computed again; lines of hashes\.jsonl are missing/,
  );
  await store.writeText(hashesFile, `${text}{"kind":"sta`);
  await expect(verified(store)).rejects.toThrow(/hashes\.jsonl: line 9 is no hash of a run/);
  await store.remove(hashesFile);
  await expect(verified(store)).rejects.toThrow(
    /the run recorded no hashes; only runs that were trained with --reproducible can be verified, and those of demo record none/,
  );
});
