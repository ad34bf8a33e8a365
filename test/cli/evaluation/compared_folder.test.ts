import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { comparedFolder, nowhere } from "../../../cli/evaluation/evaluation_folder.ts";
import { readStoredRun } from "../../../cli/runs/stored_run.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";

const path = await mkdtemp(join(tmpdir(), "mimrefine-compared-"));
afterAll(() => rm(path, { recursive: true }));

it("an edited configuration of the second encoder is taken as it is with --override only", async () => {
  const folder = new RunFolder(path);
  const edited = JSON.stringify({ command: "evaluate", images: "x", settings: {}, checksum: "another" });
  for (const part of [folder, folder.part("compared")]) await part.writeText("config.json", edited);
  const where = { ...nowhere, folder, stored: await readStoredRun(folder, "evaluate", true) };
  await expect(comparedFolder(where, false)).rejects.toThrow(/compared.config\.json .* \(its checksum is another\)/);
  expect((await comparedFolder(where, true)).stored).toMatchObject({ images: "x" });
});
