import { access, readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import { gpuReportSchema } from "../../../cli/gpu_report/report_schema.ts";
import { temporaryFolder } from "../run_command.ts";
import { start } from "../small_run.ts";

const at = await temporaryFolder();

it("a report that is interrupted holds what was measured, and says so", { timeout: 180_000 }, async () => {
  const file = at("gpu.json");
  const { child, ended } = start("bench", "--gpu-report", file, "--only", "probes,numbers,operations");
  let isWritten = false;
  while (!isWritten && child.exitCode === null) {
    await setTimeout(100);
    isWritten = await access(file).then(
      () => true,
      () => false,
    );
  }
  child.kill("SIGINT");
  expect((await ended).code).toBe(130);
  const report = gpuReportSchema.parse(JSON.parse(await readFile(file, "utf8")));
  expect(report.isComplete).toBe(false);
  expect(report.probes?.gflops).toBeGreaterThan(0);
  expect(report.notDone.at(-1)?.reason).toBe("interrupted");
  await access(at("gpu.html"));
});
