import { copyFile, cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import sharp from "sharp";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { openCheckpoint } from "../../engine/files/index.ts";
import { Device, hostUniform } from "../../engine/index.ts";
import { fileSource, writeFileAtomic } from "../../engine/platform/files_node.ts";
import { type EncoderContent, openEncoder, saveEncoder, writeEncoder } from "../../models/checkpoints/index.ts";
import { type VitConfig, vitConfig, vitParameters } from "../../models/index.ts";
import { testDevice } from "../device.ts";
import { randomEncoder } from "../models/random_encoder.ts";
import { run, temporaryFolder } from "./run_command.ts";
import { cli, startProgram } from "./small_run.ts";

const device = await testDevice();
const at = await temporaryFolder();
const small = vitConfig({ patchPixels: 4, width: 32, blocks: 3, heads: 2, heightPixels: 28, widthPixels: 28 });
const imageCount = 19; // two whole groups of eight and a rest

beforeAll(async () => {
  await mkdir(at("images/even"), { recursive: true });
  await mkdir(at("images/odd"), { recursive: true });
  for (let i = 0; i < imageCount; i++) {
    const [width, height] = [30 + 3 * i, 61 - i];
    const noise = hostUniform(3 * width * height, { seed: i, purpose: "image" });
    await sharp(
      Uint8Array.from(noise, (value) => 256 * value),
      { raw: { width, height, channels: 3 } },
    )
      .png()
      .toFile(at(`images/${i % 2 ? "odd" : "even"}/${String(i).padStart(2, "0")}.png`));
  }
  await writeFileAtomic(at("small.safetensors"), (sink) => saveEncoder(sink, randomEncoder(device, small)));
  expect((await embed("all.npy")).code).toBe(0);
});

function embed(out: string, ...more: readonly string[]) {
  const fixed = ["--weights", at("small.safetensors"), "--images", at("images"), "--workers", "0"];
  return run("embed", ...fixed, "--out", at(out), ...more);
}

async function rowsOf(path: string): Promise<Float32Array> {
  const checkpoint = await openCheckpoint(await fileSource(at(path)));
  const [name = ""] = checkpoint.tensors.keys();
  const values = await checkpoint.readAsF32(name);
  await checkpoint.close();
  return values;
}

describe("embed", () => {
  it("gives the same bytes whatever the batch size", { timeout: 120_000 }, async () => {
    const one = await embed("one.npy", "--batch", "1");
    expect([one.code, one.err.includes("error")]).toEqual([0, false]);
    expect((await embed("seven.npy", "--batch", "7")).code).toBe(0);
    expect((await embed("many.npy", "--batch", "64")).code).toBe(0);
    const bytes = await readFile(at("one.npy"));
    expect(await readFile(at("seven.npy"))).toEqual(bytes);
    expect(await readFile(at("many.npy"))).toEqual(bytes);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ])("leaves nothing behind when %s ends it early", { timeout: 60_000 }, async (signal, code) => {
    await mkdir(at(signal));
    const out = join(at(signal), "out.npy");
    const stopping = new URL(`./killed_while_writing.mjs?${signal}`, import.meta.url).href;
    const files = ["--weights", at("small.safetensors"), "--images", at("images"), "--out", out];
    const { ended } = startProgram(process.execPath, ["--import", stopping, cli, "embed", ...files]);
    expect(await ended).toMatchObject({ code, out: "" });
    expect(await readdir(at(signal))).toEqual([]);
  });

  it("replaces the features only where there is room for their list, too", { timeout: 120_000 }, async () => {
    const folder = at(Array.from({ length: 5 }, () => "x".repeat(200)).join("/")); // 1,000 bytes of each line of the list
    await cp(at("images"), folder, { recursive: true });
    const older = ["pair.npy", "pair.npy.files.tsv", "pair.npy.json"];
    for (const file of older) await writeFile(at(file), "older");
    const files = ["--weights", at("small.safetensors"), "--images", folder, "--workers", "0", "--out", at("pair.npy")];
    const fullDisk = new URL("./full_disk.mjs", import.meta.url).href; // after 20,000 bytes
    const { ended } = startProgram(process.execPath, ["--import", fullDisk, cli, "embed", ...files, "--force"]);
    expect(await ended).toMatchObject({ code: 1, err: expect.stringContaining("the disk is full") });
    for (const file of older) expect(await readFile(at(file), "utf8")).toBe("older");
  });

  it("quotes a name that does not fit into the list, and says so", { timeout: 60_000 }, async () => {
    await mkdir(at("tabs"));
    await copyFile(at("images/odd/03.png"), at("tabs/a\tb.png"));
    const files = ["--weights", at("small.safetensors"), "--images", at("tabs"), "--out", at("tabs.npy")];
    const { code, err } = await run("embed", ...files);
    expect([code, err]).toEqual([0, expect.stringMatching(/1 name does not fit into a line.*a\\tb\.png/)]);
    const cell = `"${at("tabs/a\\tb.png")}"`;
    expect(await readFile(at("tabs.npy.files.tsv"), "utf8")).toBe(`path\tlabel\tclass\n${cell}\t\t\n`);
  });

  it("gives an image the same features alone as in company", { timeout: 120_000 }, async () => {
    const alone = await run(
      ...["embed", "--weights", at("small.safetensors"), "--images", at("images/odd/03.png")],
      ...["--workers", "0", "--out", at("alone.npy")],
    );
    expect(alone.code).toBe(0);
    const list = (await readFile(at("all.npy.files.tsv"), "utf8")).split("\n").slice(1);
    const row = list.findIndex((line) => line.includes("odd/03.png"));
    const all = await rowsOf("all.npy");
    expect(await rowsOf("alone.npy")).toEqual(all.slice(32 * row, 32 * (row + 1)));
  });

  it("writes the same numbers to every format, with the list of images beside it", { timeout: 120_000 }, async () => {
    const json = await embed("same.safetensors", "--json");
    expect(json.out.split("\n")).toHaveLength(2);
    expect(JSON.parse(json.out)).toMatchObject({ images: imageCount, skipped: 0, width: 32 });
    expect(await rowsOf("same.safetensors")).toEqual(await rowsOf("all.npy"));
    const list = (await readFile(at("all.npy.files.tsv"), "utf8")).trimEnd().split("\n");
    expect(list).toHaveLength(imageCount + 1);
    expect(list[1]).toMatch(/even\/00\.png\t0\teven$/);
  });

  it("writes parquet that holds the same rows", { timeout: 120_000 }, async () => {
    expect((await embed("table.parquet")).code).toBe(0);
    const { parquetReadObjects } = await import("hyparquet");
    const bytes = await readFile(at("table.parquet"));
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const rows = await parquetReadObjects({ file });
    expect(rows).toHaveLength(imageCount);
    expect(rows.flatMap((row) => Array.from(row.embedding))).toEqual(Array.from(await rowsOf("all.npy")));
    expect(rows[0]).toMatchObject({ label: 0 });
  });

  it("pools another block when asked to", { timeout: 120_000 }, async () => {
    expect((await embed("block.npy", "--block", "1", "--pool", "avg")).code).toBe(0);
    expect(await rowsOf("block.npy")).not.toEqual(await rowsOf("all.npy"));
    const beyond = await embed("beyond.npy", "--block", "3");
    expect([beyond.code, beyond.err]).toEqual([1, expect.stringContaining("choose from 0 … 2")]);
  });

  it("leaves an image of exactly the model's resolution as it is", { timeout: 120_000 }, async () => {
    await mkdir(at("exact"), { recursive: true });
    await sharp(at("images/odd/01.png")).resize(28, 28, { fit: "fill" }).toFile(at("exact/x.png"));
    const args = ["embed", "--weights", at("small.safetensors"), "--images", at("exact"), "--workers", "0", "--out"];
    await run(...args, at("exact.npy"));
    await run(...args, at("stated.npy"), "--shorter-side", "28");
    await run(...args, at("larger.npy"), "--shorter-side", "32");
    expect(await rowsOf("exact.npy")).toEqual(await rowsOf("stated.npy"));
    expect(await rowsOf("exact.npy")).not.toEqual(await rowsOf("larger.npy"));
  });

  it("does not overwrite files unless forced to", { timeout: 120_000 }, async () => {
    const again = await embed("all.npy");
    expect([again.code, again.err]).toEqual([1, expect.stringContaining("--force")]);
    expect((await embed("all.npy", "--force")).code).toBe(0);
  });

  it("leaves out a broken image of few, names it, and fails where none is accepted", { timeout: 120_000 }, async () => {
    await mkdir(at("broken"), { recursive: true });
    await writeFileAtomic(at("broken/bad.png"), (sink) => sink.write(new Uint8Array(50)));
    await writeFileAtomic(at("broken/good.png"), async (sink) => sink.write(await readFile(at("images/odd/01.png"))));
    const args = ["embed", "--weights", at("small.safetensors"), "--images", at("broken"), "--workers", "0"];
    const strict = await run(...args, "--out", at("strict.npy"), "--max-bad", "0");
    expect([strict.code, strict.err]).toEqual([1, expect.stringContaining("bad.png")]);
    const lenient = await run(...args, "--out", at("lenient.npy"));
    expect([lenient.code, lenient.err]).toEqual([0, expect.stringContaining("bad.png")]);
    expect(await rowsOf("lenient.npy")).toHaveLength(32);
  });

  it("names all broken images before it fails, wherever they stand", { timeout: 120_000 }, async () => {
    await mkdir(at("many"), { recursive: true });
    const good = await readFile(at("images/odd/01.png"));
    const bad = ["00.png", "17.png", "36.png"];
    for (let i = 0; i < 37; i++) {
      const name = `${String(i).padStart(2, "0")}.png`;
      await writeFile(at(`many/${name}`), bad.includes(name) ? new Uint8Array(50) : good);
    }
    const args = ["embed", "--weights", at("small.safetensors"), "--images", at("many"), "--workers", "0"];
    const { code, err } = await run(...args, "--batch", "2", "--out", at("named.npy"));
    const warned = err.split("\n").filter((line) => line.startsWith("warning: "));
    expect([code, warned.map((line) => /(\d\d\.png) cannot be decoded/.exec(line)?.[1])]).toEqual([1, bad]);
    expect(err).toMatch(/error: .*3 of 37 images are broken.*00\.png.*17\.png.*36\.png/);
    await expect(readFile(at("named.npy"))).rejects.toThrow("ENOENT");
  });

  it("refuses to write features that are not finite, and a set without any image", { timeout: 120_000 }, async () => {
    const model = randomEncoder(device, small);
    const patches = model.parameters.get("patch_embed.proj.weight");
    device.write(
      patches,
      (await patches.read()).map((value) => 1e38 * value),
    );
    await writeFileAtomic(at("huge.safetensors"), (sink) => saveEncoder(sink, model));
    const huge = await run(
      ...["embed", "--weights", at("huge.safetensors"), "--images", at("images"), "--out", at("huge.npy")],
    );
    expect([huge.code, huge.err]).toEqual([1, expect.stringMatching(/not finite.*00\.png, .*the weights are damaged/)]);
    await mkdir(at("ruins"));
    await writeFile(at("ruins/a.png"), "no picture");
    const ruins = ["--images", at("ruins"), "--max-bad", "1", "--out", at("ruins.npy")];
    const none = await run("embed", "--weights", at("small.safetensors"), ...ruins);
    expect([none.code, none.err]).toEqual([1, expect.stringContaining("no image could be read")]);
    for (const out of ["huge.npy", "ruins.npy"]) await expect(readFile(at(out))).rejects.toThrow("ENOENT");
  });
});

describe("the memory plan", () => {
  it.each(["l16", "h14", "twob14"])("of %s is printed without allocating", { timeout: 120_000 }, async (model) => {
    const { code, out } = await run("embed", "--dry-run", "--model", model, "--json");
    expect(code).toBe(0);
    const { plannedBytes, allocatedBytes, batch } = JSON.parse(out);
    expect([batch, allocatedBytes]).toEqual([8, 0]);
    const parameters = { l16: 303e6, h14: 630e6, twob14: 1.9e9 }[model] ?? 0;
    expect(Math.abs(plannedBytes.weights / (4 * parameters) - 1)).toBeLessThan(0.01);
  });
});

describe("a b16 encoder of random weights", () => {
  it("survives convert, inspect and embed, within 5 % of the memory that was planned", {
    timeout: 600_000,
  }, async () => {
    const config = vitConfig("b16");
    await writeFileAtomic(at("b16.safetensors"), (sink) => writeEncoder(sink, cheapContent(config)));
    expect((await run("convert", at("b16.safetensors"), at("b16.pth"), "--names", "mae")).code).toBe(0);
    const inspected = await run("inspect", at("b16.pth"), "--json", "--no-stats");
    expect(JSON.parse(inspected.out)).toMatchObject({ format: "pytorch-zip", model: { config } });

    expect(await parameterBytes("b16.pth")).toEqual(await parameterBytes("b16.safetensors"));

    const dry = await run("embed", "--dry-run", "--weights", at("b16.pth"), "--json");
    const { plannedBytes } = JSON.parse(dry.out);
    const live = countLiveBytes();
    const images = ["--images", at("images/odd/01.png"), "--workers", "0"];
    const { code } = await run("embed", "--weights", at("b16.pth"), ...images, "--out", at("b16.npy"));
    expect(code).toBe(0);
    expect((await rowsOf("b16.npy")).every(Number.isFinite)).toBe(true);
    expect(Math.abs(live.peakBytes() / plannedBytes.total - 1)).toBeLessThan(0.05);
    live.restore();
  });
});

/** Bytes of some of the parameters of a file, read by whatever names it uses. */
async function parameterBytes(path: string): Promise<(Float32Array | undefined)[]> {
  const checkpoint = await openCheckpoint(await fileSource(at(path)));
  const { parameters } = await openEncoder(checkpoint);
  const names = ["cls_tokens.tokens", "pos_embed.embed", "blocks.11.attn.qkv.weight", "norm.bias"];
  const values = await Promise.all(names.map((name) => parameters.get(name)?.read()));
  await checkpoint.close();
  return values;
}

/** Weights from a linear congruential generator (Numerical Recipes), since 86 million good random numbers take long. */
function cheapContent(config: VitConfig): EncoderContent {
  const side = config.heightPixels / config.patchPixels;
  const entries = [...vitParameters(config), { name: "pos_embed.embed", shape: [1, side, side, config.width] }];
  const parameters = entries.map(({ name, shape }, i) => {
    const read = async (): Promise<Float32Array> => {
      const values = new Float32Array(shape.reduce((all, length) => all * length, 1));
      let state = i;
      for (let j = 0; j < values.length; j++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        values[j] = (state / 2 ** 32 - 0.5) * 0.1;
      }
      return values;
    };
    return [name, { shape, read }] as const;
  });
  return { config, parameters: new Map(parameters) };
}

/** Counts the bytes of buffers that any device created and did not yet destroy, at their highest. */
function countLiveBytes(): { peakBytes(): number; restore(): void } {
  let live = 0;
  let peak = 0;
  const create = Device.prototype.createBuffer;
  const spy = vi.spyOn(Device.prototype, "createBuffer").mockImplementation(function (
    this: Device,
    label,
    size,
    usage,
  ) {
    const buffer = create.call(this, label, size, usage);
    const destroy = buffer.destroy.bind(buffer);
    live += size;
    peak = Math.max(peak, live);
    buffer.destroy = () => {
      live -= size;
      return destroy();
    };
    return buffer;
  });
  return { peakBytes: () => peak, restore: () => spy.mockRestore() };
}
