import { copyFile, cp, mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { checkKernels } from "../../engine/self_check/index.ts";
import { testDevice } from "../device.ts";
import { run, temporaryFolder } from "./run_command.ts";

const device = await testDevice();
const at = await temporaryFolder();

function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}

/** A schedule of one update, all of it warm-up of two, with two keys that no check knows. */
const schedule = {
  case: "schedule",
  restarts: 3,
  learning_rate: [
    {
      base_lr: 0.5,
      batch_size: 256,
      epochs: 2,
      updates_per_epoch: 1,
      warmup_epochs: 1,
      peak_lr: 0.5,
      end_lr: 0,
      learning_rates: [0.25, 0.5],
      half_life: 10,
    },
  ],
};

describe("doctor", () => {
  it("finds every golden kernel within its bound on this adapter", { timeout: 120_000 }, async () => {
    const failed = (await checkKernels(device)).filter((row) => !row.pass);
    expect(failed).toEqual([]);
  });

  it("prints exactly one line of JSON in the agreed form", { timeout: 120_000 }, async () => {
    const { code, out } = await run("doctor", "--json");
    expect([code, out.split("\n").length]).toEqual([0, 2]);
    const { adapter, cases, unsupported, pass } = JSON.parse(out);
    expect(Object.keys(adapter)).toEqual(["name", "type", "backend", "driver"]);
    expect(Object.keys(cases[0])).toEqual(["case", "tensor", "maxError", "bound", "pass"]);
    expect([unsupported, pass]).toEqual([[], true]);
  });

  describe("with a folder of fixtures", () => {
    beforeAll(async () => {
      await mkdir(at("good"));
      for (const name of ["pos-embed.json", "pos-embed.safetensors"]) await copyFile(fixture(name), at(`good/${name}`));
      await writeFile(at("good/schedule.json"), JSON.stringify(schedule));
      await cp(at("good"), at("unknown"), { recursive: true });
      await writeFile(at("unknown/unheard-of.json"), "{}");
    });

    it("counts the comparisons of each case", { timeout: 120_000 }, async () => {
      const { code, out } = await run("doctor", "--fixtures", at("good"), "--json");
      const { cases, reports, unsupported, pass } = JSON.parse(out);
      expect([code, unsupported, pass]).toEqual([0, [], true]);
      expect(reports).toMatchObject([
        { case: "pos-embed", compared: 20, failed: 0, notCompared: [] },
        { case: "schedule", compared: 2, failed: 0 },
      ]);
      expect(cases).toHaveLength(22);
    });

    it("names what of the files it did not compare", { timeout: 120_000 }, async () => {
      const { out } = await run("doctor", "--fixtures", at("good"), "--json");
      expect(JSON.parse(out).reports[1].notCompared).toEqual([
        { file: "schedule.json", name: "restarts" },
        { file: "schedule.json", name: "learning_rate.0.half_life" },
      ]);
    });

    it("says the same in text", { timeout: 120_000 }, async () => {
      const { code, out } = await run("doctor", "--fixtures", at("good"));
      expect(code).toBe(0);
      expect(out).toMatch(/^pos-embed +20 .* ok$/m);
      expect(out).toContain("not compared: schedule.json: restarts, learning_rate.0.half_life\n");
      expect(out).toContain("All 22 comparisons are within their bounds.");
    });

    it("fails while a case is not supported, and names it", { timeout: 120_000 }, async () => {
      const { code, out } = await run("doctor", "--fixtures", at("unknown"), "--json");
      const { unsupported, pass, reports } = JSON.parse(out);
      expect([code, unsupported, pass]).toEqual([1, ["unheard-of"], false]);
      expect(reports.map((report: { failed: number }) => report.failed)).toEqual([0, 0]);
    });

    it("judges the supported cases alone with --supported", { timeout: 120_000 }, async () => {
      const { code, out } = await run("doctor", "--fixtures", at("unknown"), "--supported");
      expect([code, out]).toEqual([0, expect.stringContaining("not supported by this version: unheard-of\n")]);
    });
  });

  it("takes --supported for a folder of fixtures only", { timeout: 120_000 }, async () => {
    const { code, err } = await run("doctor", "--supported");
    expect([code, err]).toEqual([2, expect.stringContaining("give --fixtures, too")]);
  });

  it("fails with exit code 1 if a number is off, and names the tensor", { timeout: 120_000 }, async () => {
    await mkdir(at("bad/checkpoints"), { recursive: true });
    await copyFile(fixture("checkpoints/single-tensor.pt"), at("bad/checkpoints/single-tensor.pt"));
    const tensor = { dtype: "float32", shape: [3, 3], sum: 0, first8: [1, 2, 3, 4, 5, 6, 7, 8] };
    const files = { "single-tensor.pt": { expect: "load", tensors: { "": tensor }, plain_values: {} } };
    await writeFile(at("bad/checkpoints/expected.json"), JSON.stringify({ files }));
    const { code, out } = await run("doctor", "--fixtures", at("bad"), "--json");
    const { cases, pass } = JSON.parse(out);
    expect([code, pass]).toEqual([1, false]);
    expect(cases).toMatchObject([{ case: "checkpoints", tensor: "single-tensor.pt:", pass: false }]);
  });

  it("fails for a folder without any fixture", { timeout: 120_000 }, async () => {
    await mkdir(at("empty"));
    const { code, err } = await run("doctor", "--fixtures", at("empty"));
    expect([code, err]).toEqual([1, expect.stringContaining("nothing was compared; give a folder of fixtures")]);
  });

  it("names remedies where no adapter fits", { timeout: 120_000 }, async () => {
    const { code, err } = await run("doctor", "--adapter", "no-such-adapter");
    expect([code, err]).toEqual([1, expect.stringContaining("remedies")]);
  });
});
