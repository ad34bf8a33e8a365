import { readFile } from "node:fs/promises";
import { homedir, hostname, tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { namelessMessage } from "../../../cli/gpu_report/nameless.ts";
import { gpuReportSchema } from "../../../cli/gpu_report/report_schema.ts";
import { matmul, recordProgram } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";
import { run, temporaryFolder } from "../run_command.ts";

const device = await testDevice();
const at = await temporaryFolder();
const limit = { timeout: 120_000 };

/** Names of the variants of a product in the shape that is compared with float64. */
function productsThatRun(): string[] {
  device.tuning.requests.clear();
  const [a, b] = [device.zeros([37, 53]), device.zeros([29, 53])];
  recordProgram(device, () => ({ y: matmul(a, b, { transposeB: true }) })).destroy();
  return [...device.tuning.requests.values()].flatMap(({ candidates, others }) => [...candidates, ...others]).sort();
}

describe("bench --gpu-report", () => {
  it("writes a report of its form and a page, which name no host or path", limit, async () => {
    const file = at("gpu.json");
    const only = ["--only", "probes,numbers", "--budget", "20"];
    const { code, out } = await run("bench", "--gpu-report", file, ...only, "--json");
    const text = await readFile(file, "utf8");
    const report = gpuReportSchema.parse(JSON.parse(text));
    expect([code, JSON.parse(out)]).toEqual([0, report]);
    expect(report.isComplete).toBe(true);
    expect(report.probes?.gflops).toBeGreaterThan(0);
    expect(report.numbers.filter(({ pass }) => !pass)).toEqual([]);
    const compared = report.numbers.filter(({ operation }) => operation === "matmul").map(({ variant }) => variant);
    expect(compared.sort()).toEqual(productsThatRun());
    expect(report.variants.softmax).toEqual(["invocation", "workgroup"]);
    const html = await readFile(at("gpu.html"), "utf8");
    expect(html).toContain("<!doctype html>");
    for (const name of [hostname(), homedir(), tmpdir(), process.cwd()].filter((part) => part.length > 2)) {
      expect(text, name).not.toContain(name);
      expect(html, name).not.toContain(name);
    }
  });

  it("lists the matrices of the adapter that kernels may use", limit, async () => {
    const file = at("lists.json");
    await run("bench", "--gpu-report", file, "--only", "probes", "--budget", "0.001");
    const { adapter } = gpuReportSchema.parse(JSON.parse(await readFile(file, "utf8")));
    expect(adapter.matrixConfigurations).toEqual(
      device.matrices.shapes.map((m) => `M ${m.rows}, N ${m.columns}, K ${m.depth}, ${m.component} to ${m.result}`),
    );
  });

  it("states what found no time", limit, async () => {
    const file = at("short.json");
    const { code } = await run("bench", "--gpu-report", file, "--only", "operations,steps", "--budget", "0.001");
    const report = gpuReportSchema.parse(JSON.parse(await readFile(file, "utf8")));
    expect([code, report.operations, report.steps]).toEqual([0, [], []]);
    expect(new Set(report.notDone.map(({ reason }) => reason))).toEqual(new Set(["no time left"]));
    expect(new Set(report.notDone.map(({ section }) => section))).toEqual(new Set(["operations", "steps"]));
  });

  it.each([
    ["a file of another kind", ["--gpu-report", "gpu.txt"], /ends with \.json/],
    ["options of one step", ["--gpu-report", "gpu.json", "--compare", "x.json"], /--compare is about one step/],
    ["an unknown section", ["--gpu-report", "gpu.json", "--only", "probes,speed"], /expected some of probes/],
  ])("refuses %s", async (_, options, message) => {
    const { code, err } = await run("bench", ...options);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });
});

describe("the message of an error in a report", () => {
  it.each([
    ["no room in /home/ann/models/a.bin for it", "no room in (path) for it"],
    ["'C:\\Users\\ann\\x' is missing", "'(path)' is missing"],
    ["failed at file:///srv/a/b.js:1:2", "failed at (path)"],
    ["12 GFLOP/s of 3/4", "12 GFLOP/s of 3/4"],
  ])("names no path: %s", (message, expected) => {
    expect(namelessMessage(new Error(message))).toBe(expected);
  });
});
