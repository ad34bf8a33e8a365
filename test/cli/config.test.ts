import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { run, temporaryFolder } from "./run_command.ts";

const at = await temporaryFolder();

describe("config", () => {
  it("lists the presets", async () => {
    const { code, out } = await run("config");
    expect([code, out.split("\n")]).toEqual([0, expect.arrayContaining(["mae_l16", "small"])]);
  });

  it("prints a preset by either way to name it, and refuses two names", async () => {
    const { code, out } = await run("config", "small");
    expect([code, out]).toEqual([0, expect.stringMatching(/^batch: \d+$/m)]);
    expect((await run("config", "--preset", "small")).out).toBe(out);
    expect(await run("config", "small", "--preset", "mae_l16")).toMatchObject({ code: 2, out: "" });
  });

  it("writes a file that it then finds valid", async () => {
    await run("config", "small", "--out", at("small.yaml"));
    expect(await run("config", "--check", at("small.yaml"))).toMatchObject({
      code: 0,
      out: expect.stringContaining("valid"),
    });
  });

  it.each([
    ["temprature: 0.1", "did you mean temperature"],
    ["batch: [1", "YAML"],
    ["- batch", "holds no settings"],
    ["batch: many", "batch"],
    ["workers: all", 'workers is "all" (--workers, key workers in '],
    ["workers: all", ": expected a whole number from 0 to 256, or auto"],
  ])("refuses %j with the file's name and exit code 2", async (text, reason) => {
    await writeFile(at("bad.yaml"), text);
    const { code, err } = await run("config", "--check", at("bad.yaml"));
    expect([code, err]).toEqual([2, expect.stringContaining(reason)]);
    expect(err).toContain(at("bad.yaml"));
  });

  it("names the presets when it does not know one", async () => {
    expect(await run("config", "tiny")).toMatchObject({ code: 2, err: expect.stringContaining("small") });
  });
});

describe("--workers", () => {
  it.each(["refine", "pretrain", "embed", "knn", "layers"])("means the same in %s", async (name) => {
    const { out } = await run(name, "--help");
    const text = "decoder threads; 0 decodes without any, auto takes one per core but one (default:";
    expect(out.replace(/\s+/g, " ")).toContain(text);
    const wrong = await run(name, "--workers", "all", "--images", at("none"));
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("from 0 to 256")]);
  });

  it.each(["0", "auto"])("takes %s in a settings file", async (workers) => {
    await writeFile(at("workers.yaml"), `workers: ${workers}\n`);
    const { code, out } = await run("config", "--check", at("workers.yaml"), "--json");
    expect([code, String(JSON.parse(out).settings.workers)]).toEqual([0, workers]);
  });
});
