import { existsSync } from "node:fs";
import { link, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { run, temporaryFolder } from "./run_command.ts";

const at = await temporaryFolder();
const fixture = fileURLToPath(new URL("../fixtures/checkpoints/mae.pth", import.meta.url));

beforeAll(async () => {
  await mkdir(at("run"));
  await mkdir(at("images"));
  for (const file of ["run/mae.safetensors", "both.pth", "before.json", "images/a.png"])
    await writeFile(at(file), await readFile(fixture));
  await writeFile(at("run/config.json"), "{}");
  await writeFile(at("before.json"), JSON.stringify({ kernels: [], stepMs: 1 }));
  await link(at("both.pth"), at("hard.pth"));
  await symlink(at("both.pth"), at("soft.pth"));
});

describe("a path that is read", () => {
  it.each(["both.pth", "hard.pth", "soft.pth", "images/../both.pth"])("is not written to as %s", async (out) => {
    const { code, err } = await run("convert", at("both.pth"), at(out), "--force");
    const text = `error: convert: ${at(out)} would be written for <out>, and is <in> already; choose another <out>\n`;
    expect([code, err]).toEqual([2, text]);
    expect(await readFile(at("both.pth"))).toEqual(await readFile(fixture));
  });

  it.each<[string, string[]]>([
    ["embed", ["--weights", at("both.pth"), "--out", at("images/a.npy"), "--force"]],
    ["refine", ["--weights", at("run/mae.safetensors"), "--images", at("images"), "--out", at("run"), "--force"]],
    ["bench", ["--compare", at("before.json"), "--out", at("before.json"), "--force"]],
  ])("is not written to by %s", async (command, args) => {
    if (command === "embed") await link(at("images/a.png"), at("images/a.npy"));
    const images = command === "embed" ? ["--images", at("images/a.png")] : [];
    const { code, err } = await run(command, ...args, ...images);
    expect([code, err]).toEqual([2, expect.stringMatching(/^error: \w+: .* would be written for --out, and is --/)]);
  });

  it.each<[string, string[]]>([
    ["convert", [at("none.pth"), at("none.safetensors")]],
    ["embed", ["--weights", at("none.pth"), "--images", at("images"), "--out", at("none.npy")]],
    ["refine", ["--weights", at("both.pth"), "--images", at("none"), "--out", at("none")]],
    ["pretrain", ["--images", at("none"), "--out", at("none")]],
    ["report", [at("none"), "--out", at("none.html")]],
  ])("must be there for %s", async (command, args) => {
    const { code, err } = await run(command, ...args);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/none\S* cannot be read \(.*no such file or folder\); check/),
    ]);
    expect(existsSync(at("none"))).toBe(false);
  });
});

describe("a path that is written", () => {
  it("is not written twice", async () => {
    const { code, err } = await run("bench", "--out", at("twice"), "--report", at("twice"));
    const text = `bench: ${at("twice")} would be written for --report, and is --out already; choose another --report`;
    expect([code, err]).toEqual([2, `error: ${text}\n`]);
  });

  it.each<[string, (out: string) => string[]]>([
    ["convert", (out) => [at("both.pth"), out, "--format", "pth"]],
    ["embed", (out) => ["--weights", at("both.pth"), "--images", at("images"), "--out", out]],
    ["bench", (out) => ["--out", out]],
    ["report", (out) => [at("run"), "--out", out]],
    ["config", (out) => ["small", "--out", out]],
  ])("is refused by %s before anything is computed", async (command, args) => {
    await writeFile(at("there.npy"), "kept");
    for (const [out, reason] of [
      [at("there.npy"), "exists; choose another name, or allow overwriting (--force)"],
      [at("nowhere/out.npy"), "there is no folder"],
      ["/dev/null.npy/x.npy", "there is no folder"],
    ] as const) {
      const { code, out: printed, err } = await run(command, ...args(out));
      expect([code, printed, err]).toEqual([1, "", expect.stringContaining(reason)]);
    }
    expect(await readFile(at("there.npy"), "utf8")).toBe("kept");
  });

  it.each(["refine", "pretrain", "demo"])("is a folder for %s", async (command) => {
    const inputs = { refine: ["--weights", at("both.pth")], pretrain: [], demo: [] }[command] ?? [];
    const images = command === "demo" ? [] : ["--images", at("images")];
    const { code, err } = await run(command, ...inputs, ...images, "--out", at("both.pth/run"));
    expect([code, err]).toEqual([2, expect.stringContaining("a file stands there or on the way; give a folder")]);
  });
});

describe("a run", () => {
  it("is gone on with by the command that began it", async () => {
    await mkdir(at("begun"));
    const stored = { command: "pretrain", images: at("images"), settings: {} };
    await writeFile(at("begun/config.json"), JSON.stringify(stored));
    const { code, err } = await run("refine", "--resume", at("begun"));
    const text = `was begun by pretrain; go on with it by mimrefine pretrain --resume ${at("begun")}`;
    expect([code, err]).toEqual([2, expect.stringContaining(text)]);
  });
});
