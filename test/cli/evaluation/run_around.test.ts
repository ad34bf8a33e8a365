import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { runAround } from "../../../cli/evaluation/run_evaluations.ts";

const folder = await mkdtemp(join(tmpdir(), "mimrefine-run-around-"));
afterAll(() => rm(folder, { recursive: true }));

it("an evaluation in the folder of a run belongs to it, however its path is written", async () => {
  await mkdir(join(folder, "evaluations"));
  await writeFile(join(folder, "config.json"), "{}");
  for (const path of ["evaluations/knn", "evaluations/knn/", "evaluations/x/../knn"])
    expect(runAround(`${folder}/${path}`), path).toBe(folder);
  expect(runAround(`${folder}/knn`)).toBeUndefined();
});
