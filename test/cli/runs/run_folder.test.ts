import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { FinishedShots, finishedShots } from "../../../cli/runs/finished_shots.ts";
import { removeOldRun } from "../../../cli/runs/run_folder.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";
import { WorkingStore } from "../../../refiner/training/working_store.ts";
import { VtabResults } from "../../../refiner/vtab/vtab_results.ts";

const folder = await mkdtemp(join(tmpdir(), "mimrefine-run-folder-"));
afterAll(() => rm(folder, { recursive: true }));

it("a run that is replaced leaves nothing that the new one could go on with, if it is killed before its first result", async () => {
  const store = new RunFolder(folder);
  const parts = [store, store.part("compared")];
  for (const part of parts) {
    await part.writeText("config.json", "{}");
    await part.writeText("receipt.json", "{}");
    const run = { shots: 1, split: "1", images: 2, batch: 2, updates: 3, accuracy: 0.5 };
    await (await FinishedShots.begin(part)).add(0, "a draw", run);
    await part.writeText("runs/cifar.final.0.001.seed0.json", "{}");
    await new WorkingStore(part).begin("cifar final", {});
    await part.writeText("working/checkpoints/000000001.safetensors", "");
  }
  await removeOldRun(store);
  for (const part of parts) {
    expect(await finishedShots(part)).toBe(0);
    expect(await new VtabResults(part).count()).toBe(0);
    expect(await new WorkingStore(part).progress()).toEqual({ run: undefined, checkpoint: undefined });
    expect(await part.readText("receipt.json")).toBeUndefined();
    expect(await part.readText("config.json")).toBeUndefined();
  }
});
