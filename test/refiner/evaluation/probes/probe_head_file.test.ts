import { expect, it } from "vitest";
import { readProbeHead, saveProbeHead } from "../../../../refiner/evaluation/probes/probe_head_file.ts";
import { MemoryRunStore } from "../../../../refiner/index.ts";

const values = (length: number) => Float32Array.from({ length }, (_, i) => Math.cos(i));
const head = { weight: values(12), bias: values(3), mean: values(4), variance: values(4) };
const which = { head: "cls last1, rate 0.1", epoch: 7 };

async function stored(): Promise<{ readonly store: MemoryRunStore; readonly bytes: Uint8Array }> {
  const store = new MemoryRunStore();
  await saveProbeHead(store, head, which, { protocol: "linear probe" });
  const file = await store.open("head.safetensors");
  return { store, bytes: await file.read(0, file.sizeBytes) };
}

it("a head comes back as it was written", async () => {
  expect(await readProbeHead((await stored()).store, 3, 4, which)).toEqual(head);
});

it.each([
  ["after another epoch", { ...which, epoch: 8 }],
  ["of another name", { ...which, head: "cls last1, rate 0.2" }],
])("a head %s is not taken for the chosen one", async (_, other) => {
  await expect(readProbeHead((await stored()).store, 3, 4, other)).rejects.toThrow(
    /head\.safetensors: it is damaged, or not .*, which was chosen; evaluate again with --force/,
  );
});

it("a flipped bit of its numbers is found", async () => {
  const { store, bytes } = await stored();
  for (const fromEnd of [1, 17, 33, 60]) {
    const damaged = bytes.slice();
    damaged[bytes.length - fromEnd] = (damaged[bytes.length - fromEnd] ?? 0) ^ 4;
    await store.write("head.safetensors", (sink) => sink.write(damaged));
    await expect(readProbeHead(store, 3, 4, which)).rejects.toThrow(/it is damaged/);
  }
});
