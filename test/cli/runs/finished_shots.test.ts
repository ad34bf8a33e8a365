import { describe, expect, it } from "vitest";
import { drawDigest, FinishedShots, finishedShots } from "../../../cli/runs/finished_shots.ts";
import { MemoryRunStore } from "../../../refiner/index.ts";

const file = "finetuned.jsonl";
const of = [drawDigest([1, 2], { epochs: 3 }), drawDigest([3, 4], { epochs: 3 })];
const run = (split: string, accuracy: number) => ({ shots: 1, split, images: 2, batch: 2, updates: 3, accuracy });

async function twoFinished(): Promise<MemoryRunStore> {
  const store = new MemoryRunStore();
  const finished = await FinishedShots.begin(store);
  await finished.add(0, of[0] ?? "", run("1", 0.5));
  await finished.add(1, of[1] ?? "", run("2", 0.75));
  return store;
}

async function resumed(store: MemoryRunStore, draws = of) {
  const told: string[] = [];
  const finished = await FinishedShots.resume(store, draws, (text) => told.push(text));
  return { accuracies: [0, 1].map((draw) => finished.get(draw)?.accuracy), told: told.join("\n") };
}

describe("finished fine-tunings", () => {
  it("are all there again", async () => {
    const store = await twoFinished();
    expect(await resumed(store)).toEqual({ accuracies: [0.5, 0.75], told: "" });
    expect(await finishedShots(store)).toBe(2);
  });

  it.each([
    ["was cut off", (text: string) => text.slice(0, -40)],
    ["has another digit", (text: string) => text.replace("0.75", "0.95")],
    ["is of zeros", (text: string) => `${text.split("\n")[0]}\n${"\0".repeat(60)}\n`],
    ["has its fields in another order", (text: string) => text.replace(/(.*)("images":2),("batch":2)/s, "$1$3,$2")],
    ["has another place", (text: string) => text.replace('"draw":1', '"draw":0')],
  ])("without the one whose line %s, which is told and does not swallow the next", async (_, damage) => {
    const store = await twoFinished();
    await store.writeText(file, damage((await store.readText(file)) ?? ""));
    const { accuracies, told } = await resumed(store);
    expect(accuracies).toEqual([0.5, undefined]);
    expect(told).toMatch(/finetuned\.jsonl: 1 damaged lines were dropped/);
    const again = await FinishedShots.resume(store, of, () => expect.fail("nothing is damaged any more"));
    await again.add(1, of[1] ?? "", run("2", 0.75));
    expect(await store.readText(file)).toBe(await (await twoFinished()).readText(file));
  });

  it("without those of other images or settings", async () => {
    const other = [of[0] ?? "", drawDigest([3, 5], { epochs: 3 })];
    const { accuracies, told } = await resumed(await twoFinished(), other);
    expect(accuracies).toEqual([0.5, undefined]);
    expect(told).toMatch(/1 draws had other images or settings/);
    expect(drawDigest([1, 2], { epochs: 4 })).not.toBe(of[0]);
  });
});
