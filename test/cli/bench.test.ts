import { readFile, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { run, temporaryFolder } from "./run_command.ts";

const at = await temporaryFolder();

describe("bench", () => {
  it("prints one line of JSON, writes it to --out and a page to --report", { timeout: 240_000 }, async () => {
    const file = at("before.json");
    const page = at("speed.html");
    const once = ["--batch", "1", "--repeats", "1", "--json"];
    const { code, out } = await run("bench", ...once, "--out", file, "--report", page);
    expect([code, out.split("\n").length]).toEqual([0, 2]);
    const report = JSON.parse(out);
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual(report);
    expect(report.dispatches).toBeGreaterThan(12 * 5);
    const html = await readFile(page, "utf8");
    for (const { kernel, bytes, gigabytesPerSecond } of report.kernels) {
      expect(html).toContain(kernel);
      expect(bytes).toBeGreaterThan(0);
      expect(gigabytesPerSecond).toBeGreaterThan(0);
    }
    for (const measured of [report.stepMs, report.gflops, report.peaks.gflops, report.peaks.gigabytesPerSecond]) {
      expect(measured).toBeGreaterThan(0);
    }
    // The buffers on the device are those that were planned, and the small ones for uniforms and read-back.
    expect(report.actualBytes / report.plannedBytes).toBeGreaterThan(0.9);
    expect(report.actualBytes / report.plannedBytes).toBeLessThan(1.1);
  });

  it("refuses a file to compare with that is no report", { timeout: 30_000 }, async () => {
    const file = at("no_report.json");
    await writeFile(file, "{}");
    const { code, err } = await run("bench", "--compare", file);
    expect([code, err]).toEqual([2, expect.stringContaining("not a report of this command")]);
  });

  it("prints the WGSL of a variant for the product that it is asked for", async () => {
    const wide = await run("bench", "--show-kernel", "shared_128,rows=1576,columns=192,depth=768,dtype=f16,transposeA");
    expect([wide.code, wide.err]).toEqual([0, ""]);
    expect(wide.out).toMatch(/^enable f16;/);
    expect(wide.out).toContain("alias Left = vec4<f16>;");
    expect(wide.out).toContain("fn left_by_rows(");
    const { text, variant } = JSON.parse((await run("bench", "--show-kernel", "subgroup,depth=7", "--json")).out);
    expect([variant, text]).toEqual(["subgroup", expect.stringContaining("fn matmul_subgroup(")]);
    const matrices = await run("bench", "--show-kernel", "matrix_2x2_2x2,dtype=f16,matrix=8x16x16,lanes=16");
    expect(matrices.out).toContain("enable chromium_experimental_subgroup_matrix;");
    expect(matrices.out).toContain("subgroup_matrix_left<f16, 16, 8>");
  });

  it.each([
    [["--show-kernel", "register", "--batch", "2"], "--batch cannot stand beside --show-kernel"],
    [["--show-kernel", "register", "--gpu-report", "gpu.json"], "--gpu-report cannot stand beside --show-kernel"],
    [["--gpu-report", "gpu.json", "--model", "b16"], "--model is about one step"],
    [["--gpu-report", "gpu.json", "--tune"], "--tune is about one step"],
    [["--budget", "5"], "--budget is about --gpu-report; give it together with --gpu-report FILE"],
    [["--only", "probes"], "--only is about --gpu-report"],
  ])("refuses %j, which would ignore one of them", async (options, message) => {
    const { code, err } = await run("bench", ...options);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });

  it.each([
    ["matrix_1x1_2x2,matrix=7x7x7", "matrix=ROWSxCOLUMNSxDEPTH and lanes=N"],
    ["naive", "no variant is called naive; choose from subgroup, "],
    ["register,rows=0", '"rows=0" is no trait of a product; expected rows=N'],
  ])("refuses to print %s", async (request, message) => {
    const { code, err } = await run("bench", "--show-kernel", request);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });
});
