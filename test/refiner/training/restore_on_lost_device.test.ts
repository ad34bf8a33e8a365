import { mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, expect, it } from "vitest";
import { DeviceLostError, openDevice } from "../../../engine/index.ts";
import { resumeRun } from "../../../refiner/training/resume.ts";
import { saveRunCheckpoint } from "../../../refiner/training/run_checkpoint.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";
import { TrainingPlan } from "../../../refiner/training/training_plan.ts";

const folder = await mkdtemp(join(tmpdir(), "lost-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const plan = new TrainingPlan([{ stage: 2, updates: 8, updatesPerEpoch: 2 }]);

/** Files that this process holds open below the folder of the run. */
async function openFiles(): Promise<string[]> {
  const handles = await readdir("/proc/self/fd");
  const paths = await Promise.all(handles.map((handle) => readlink(`/proc/self/fd/${handle}`).catch(() => "")));
  return paths.filter((path) => path.startsWith(folder));
}

it.skipIf(process.platform !== "linux")(
  "a device that is lost while a run is restored leaves no file open",
  async () => {
    const store = new RunFolder(join(folder, "run"));
    const before = await openDevice({ notice: () => undefined });
    for (const update of [2, 4]) {
      const state = { arenas: {}, tensors: { weight: before.tensor([update]) } };
      await saveRunCheckpoint(store, update, state, { stage: "2", update: String(update), updates: String(update) });
    }
    before.close();
    for (let attempt = 0; attempt < 5; attempt++) {
      const device = await openDevice({ notice: () => undefined });
      const weight = device.tensor([0]);
      const state = () => ({ arenas: {}, tensors: { weight } });
      const beginStage = async () => {
        expect(await openFiles()).toHaveLength(1); // the checkpoint that is restored
        device.gpu.destroy();
        await device.gpu.lost;
      };
      await expect(resumeRun(store, plan, { name: "test", beginStage, state }).next()).rejects.toThrow(DeviceLostError);
      expect(await openFiles()).toEqual([]);
      device.close();
    }
  },
);
