import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openCheckpoint, writePyTorch } from "../../engine/files/index.ts";
import { fileSource, writeFileAtomic } from "../../engine/platform/files_node.ts";
import { writeEncoder } from "../../models/checkpoints/index.ts";
import { vitConfig, vitParameters } from "../../models/index.ts";
import { run, temporaryFolder } from "./run_command.ts";

const at = await temporaryFolder();
const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/checkpoints/${name}`, import.meta.url));

describe("inspect", () => {
  it("prints exactly one line of JSON with model, tensors and statistics", async () => {
    const { code, out } = await run("inspect", fixture("data2vec2.pt"), "--json");
    expect([code, out.split("\n").length]).toEqual([0, 2]);
    const { model, tensors } = JSON.parse(out);
    expect(model.config).toMatchObject({ kind: "postnorm", width: 12, blocks: 2, heightPixels: 16 });
    expect(model.report.family).toContain("data2vec 2.0");
    expect(tensors[0]).toMatchObject({
      dtype: "f32",
      nonFinite: 0,
      mean: expect.any(Number),
      deviation: expect.any(Number),
    });
  });

  it("writes what JSON cannot hold as text", async () => {
    const values = new Map([
      ["inf", Number.NEGATIVE_INFINITY],
      ["nan", Number.NaN],
    ]);
    await writeFileAtomic(at("odd.pth"), (sink) => writePyTorch(sink, Object.fromEntries(values)));
    const { out } = await run("inspect", at("odd.pth"), "--json");
    expect(JSON.parse(out).plainValues).toEqual({ inf: "-inf", nan: "nan" });
  });

  it("says which encoder it sees, for people", async () => {
    const { out } = await run("inspect", fixture("refiner.th"));
    expect(out).toContain("prenorm ViT, 2 blocks of width 12, 2 heads");
    expect(out).toContain("blocks.1.mlp.fc2.bias");
  });

  it("shows tensors of files without an encoder, too", async () => {
    const { code, out } = await run("inspect", fixture("exotic.pth"));
    expect([code, out]).toEqual([0, expect.stringContaining("no vision transformer")]);
    expect(out).toContain("half_extremes");
  });

  const refused = [
    ["malicious-command.pth", "posix.system"],
    ["malicious-eval.pth", "__builtin__.eval"],
    ["malicious-import.pth", "importlib.import_module"],
    ["malicious-legacy.pth", "nothing was executed"],
    ["truncated.pth", "fetch the file again"],
    ["truncated-legacy.pth", "fetch it again"],
    ["not-a-checkpoint.pth", "HTML"],
    ["empty.pth", "empty"],
  ] as const;
  const images = ["--images", fixture("")];
  const readers = [
    (file: string) => ["inspect", file],
    (file: string) => ["convert", file, at("refused.safetensors")],
    (file: string) => ["embed", "--weights", file, ...images, "--out", at("refused.npy")],
    (file: string) => ["refine", "--weights", file, ...images, "--out", at("refused")],
  ];
  it.each(refused)("is refused by every command that reads it, in one line with its path: %s", async (name, text) => {
    for (const reader of readers) {
      const { code, out, err } = await run(...reader(fixture(name)));
      expect([code, out]).toEqual([1, ""]);
      const lines = err
        .trim()
        .split("\n")
        .filter((line) => line.startsWith("error: "));
      expect(lines).toEqual([expect.stringContaining(`${fixture(name)}: `)]);
      expect(lines[0]).toContain(text);
    }
    expect(existsSync(at("refused.safetensors")) || existsSync(at("refused.npy")) || existsSync(at("refused"))).toBe(
      false,
    );
  });

  it("is refused by name where images have other channels than the encoder", async () => {
    const config = {
      ...vitConfig({ patchPixels: 2, width: 4, blocks: 1, heads: 1, heightPixels: 4, widthPixels: 4 }),
      channels: 2,
    };
    const parameters = new Map(
      vitParameters(config).map(({ name, shape }) => {
        const size = shape.reduce((all, length) => all * length, 1);
        return [name, { shape, read: async () => new Float32Array(size) }] as const;
      }),
    ).set("pos_embed.embed", { shape: [1, 2, 2, 4], read: async () => new Float32Array(16) });
    const file = at("two_channels.safetensors");
    await writeFileAtomic(file, (sink) => writeEncoder(sink, { config, parameters }));
    for (const command of ["embed", "refine", "knn"]) {
      const out = command === "knn" ? [] : ["--out", at("none.npy")];
      const { code, err } = await run(command, "--weights", file, ...images, ...out);
      expect([code, err]).toEqual([1, expect.stringContaining(`${file}: the encoder takes 2 channels`)]);
    }
  });

  it("names a file that does not exist", async () => {
    const { code, err } = await run("inspect", at("nothing.pth"));
    expect([code, err]).toEqual([1, expect.stringContaining("nothing.pth")]);
  });
});

describe("convert", () => {
  it.each([
    ["", "is a folder"],
    ["none/out.pth", "there is no folder"],
  ])("names the path that no file can be written to: %j", async (path, text) => {
    const { code, out, err } = await run("convert", fixture("mae.pth"), at(path), "--force");
    expect([code, out, err]).toEqual([1, "", expect.stringMatching(/^error: write: .*\n$/)]);
    expect(err).toContain(text);
  });

  it("writes what inspect then recognises, and reports what it dropped on stderr", async () => {
    const { code, out, err } = await run(
      "convert",
      fixture("mae.pth"),
      at("mae.safetensors"),
      "--heads",
      "2",
      "--dtype",
      "bf16",
    );
    expect([code, out]).toEqual([0, expect.stringContaining("bf16")]);
    expect(err).toContain("dropped 20 tensors: decoder");
    const { out: json } = await run("inspect", at("mae.safetensors"), "--json");
    expect(JSON.parse(json)).toMatchObject({
      format: "safetensors",
      metadata: { "mimrefine.source": "mae.pth" },
      model: { config: { heads: 2 } },
    });
  });

  it.each(["decoder.safetensors", "decoder.pth"])(
    "keeps the decoder of a masked autoencoder on demand: %s",
    async (name) => {
      const options = ["--names", "mae", "--keep-decoder", "--heads", "2"];
      const { code, err } = await run("convert", fixture("mae.pth"), at(name), ...options);
      expect([code, err.includes("dropped")]).toEqual([0, false]);
      const root = name.endsWith(".pth") ? "model/" : "";
      const [original, written] = await Promise.all(
        [fixture("mae.pth"), at(name)].map(async (path) => openCheckpoint(await fileSource(path))),
      );
      const decoder = [...(original?.tensors.keys() ?? [])].filter((path) => /decoder|mask_token/.test(path));
      expect(decoder).toHaveLength(20);
      for (const path of decoder)
        expect(await written?.readAsF32(path.replace("model/", root))).toEqual(await original?.readAsF32(path));
      await Promise.all([original?.close(), written?.close()]);
    },
  );

  it("keeps no decoder where there is none, or where the names have none", async () => {
    const none = await run("convert", fixture("refiner.th"), at("none.pth"), "--names", "mae", "--keep-decoder");
    expect([none.code, none.err]).toEqual([1, expect.stringContaining("the file holds no decoder")]);
    const timm = await run("convert", fixture("mae.pth"), at("none.pth"), "--names", "timm", "--keep-decoder");
    expect([timm.code, timm.err]).toEqual([2, expect.stringContaining("--keep-decoder goes with --names mae")]);
  });

  it("warns of what a PyTorch file does not tell, and refuses a name that tells no format", async () => {
    const read = [fixture("mae.pth"), at("timm.pth"), "--names", "timm", "--epsilon", "1e-5"];
    const { code, err } = await run("convert", ...read, "--heads", "2");
    expect([code, err]).toEqual([0, expect.stringContaining("give --attention-heads 2 --epsilon 0.00001, or")]);
    const refused = await run("convert", fixture("mae.pth"), at("mae.npy"));
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("ends with none of .safetensors, .pth")]);
  });

  it("does not overwrite a file unless forced to, and leaves it as it was", async () => {
    await writeFile(at("kept.safetensors"), "kept");
    const refused = await run("convert", fixture("mae.pth"), at("kept.safetensors"));
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("--force")]);
    const failed = await run("convert", fixture("data2vec2.pt"), at("kept.safetensors"), "--names", "timm", "--force");
    expect([failed.code, await readFile(at("kept.safetensors"), "utf8")]).toEqual([1, "kept"]);
    expect((await run("convert", fixture("mae.pth"), at("kept.safetensors"), "--force")).code).toBe(0);
  });
});

describe("the command line", () => {
  it.each([
    [["convert", "only-one"], "missing required argument"],
    [["convert", "a", "b", "--dtype", "f8"], "Allowed choices are f32, f16, bf16"],
    [["embed", "--batch", "0"], "whole number"],
    [["embed", "--weights", "x"], "--images"],
    [["nonsense"], "unknown command"],
  ])("exits with 2 for %j", async (args, text) => {
    const { code, err } = await run(...args);
    expect([code, err]).toEqual([2, expect.stringContaining(text)]);
  });

  it.each(["embed", "inspect", "convert", "doctor"])("explains %s with an example", async (name) => {
    const { code, out } = await run(name, "--help");
    expect(code).toBe(0);
    expect(out).toContain("Example:");
    expect(out).toContain(`mimrefine ${name}`);
  });

  it("prints the version of the package", async () => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    expect((await run("--version")).out.trim()).toBe(version);
  });
});
