import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { gpuReportSchema } from "../../cli/gpu_report/report_schema.ts";

const minutes = 60_000;
const run = promisify(execFile);
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mimrefine-kit-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it.skipIf(process.platform !== "linux")(
  "the GPU kit is small and measures without a PATH, a home or Node",
  { timeout: 5 * minutes },
  async (context) => {
    const archive = join(folder, "kit.tar.gz");
    await run(process.execPath, ["scripts/gpu_kit.mjs", archive]);
    expect((await stat(archive)).size).toBeLessThanOrEqual(48 * 2 ** 20);
    await run("tar", ["-xzf", archive, "-C", folder]);
    const [kit = ""] = (await readdir(folder)).filter((name) => name.startsWith("mimrefine-gpu-kit-"));
    const { VK_DRIVER_FILES } = process.env;
    const env = VK_DRIVER_FILES === undefined ? {} : { VK_DRIVER_FILES };
    const start = join(folder, kit, "start.sh");
    const few = [start, "--only", "probes,operations", "--budget", "1"];
    const { stdout, stderr } = await run("/bin/sh", few, { env: { PATH: "", ...env }, cwd: "/" }).catch(
      (error) => error,
    );
    if (/no .*adapter/i.test(stderr)) context.skip("no Vulkan driver on this system, and the kit brings none");
    expect(stdout).toContain("comparisons are within their bounds");
    const report = gpuReportSchema.parse(JSON.parse(await readFile(join(folder, kit, "gpu.json"), "utf8")));
    expect(report.isComplete).toBe(true);
    expect(report.probes?.gflops).toBeGreaterThan(0);
  },
);
