import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../engine/files/index.ts";
import { hostUniform } from "../../engine/index.ts";
import { fileSource, writeFileAtomic } from "../../engine/platform/files_node.ts";
import { loadEncoder, saveEncoder } from "../../models/checkpoints/index.ts";
import { vitConfig } from "../../models/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import { attentionMaps } from "../../refiner/evaluation/index.ts";
import { testDevice } from "../device.ts";
import { randomEncoder } from "../models/random_encoder.ts";
import { runPython } from "../python.ts";
import { run, temporaryFolder } from "./run_command.ts";
import { start } from "./small_run.ts";

const device = await testDevice();
const at = await temporaryFolder();
const vit = vitConfig({ patchPixels: 4, width: 16, blocks: 3, heads: 2, heightPixels: 8, widthPixels: 16 });
const pillow = { PIL: "python3-pil", numpy: "python3-numpy" };

async function picture(path: string, width: number, height: number, seed: number): Promise<void> {
  const data = Uint8Array.from(hostUniform(3 * width * height, { seed, purpose: "picture" }), (value) => 255 * value);
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(at(path));
}

beforeAll(async () => {
  await mkdir(at("more"));
  await picture("<b>&'one.png", 40, 24, 1);
  await picture("more/two.png", 30, 60, 2);
  await picture("two.png", 17, 9, 3);
  const { parameters } = randomEncoder(device, vit);
  for (const [name, weight] of parameters.tensors)
    if (name.endsWith("qkv.weight"))
      device.write(
        weight,
        (await weight.read()).map((value) => 12 * value),
      );
  const model = randomEncoder(device, vit);
  for (const [name, weight] of model.parameters.tensors)
    device.write(weight, Float32Array.from(await parameters.get(name).read()));
  await writeFileAtomic(at("encoder.safetensors"), (sink) => saveEncoder(sink, model));
  const bare = randomEncoder(device, vitConfig({ ...vit, classTokens: 0 }));
  await writeFileAtomic(at("bare.safetensors"), (sink) => saveEncoder(sink, bare));
});

const given = () => ["--weights", at("encoder.safetensors"), "--workers", "0"];

describe("mimrefine attention", () => {
  it("writes maps that another program reads, at the size of the image", { timeout: 240_000 }, async (context) => {
    const images = [at("<b>&'one.png"), at("more"), at("two.png")];
    const { code, out, err } = await start(
      "attention",
      ...images,
      ...given(),
      "--out",
      at("maps"),
      "--block",
      "1",
      "--values",
      "--json",
    ).ended;
    expect([code, err.includes("error:") ? err : ""]).toEqual([0, ""]);
    expect(out.trimEnd().split("\n")).toHaveLength(1);
    const line = JSON.parse(out);
    expect(line).toMatchObject({ block: 1, heads: 2, maps: "both", page: "attention.html" });
    const folders = line.images.map(({ folder, width, height, grid }: Record<string, unknown>) => [
      folder,
      width,
      height,
      grid,
    ]);
    expect(folders).toEqual([
      ["_b_one", 40, 24, [2, 4]],
      ["two", 30, 60, [2, 4]],
      ["two-2", 17, 9, [2, 4]],
    ]);
    expect((await readdir(at("maps/two"))).sort()).toEqual(
      ["head-0.png", "head-1.png", "mean.png", "pca.png", "weights.npy"].sort(),
    );
    // The pictures by Pillow and the weights by NumPy.
    const code2 = `import numpy
from PIL import Image
found = []
for folder in given["folders"]:
    weights = numpy.load(folder + "/weights.npy")
    names = ["head-0.png", "head-1.png", "mean.png", "pca.png"]
    opened = [Image.open(folder + "/" + name) for name in names]
    found.append({"shape": weights.shape, "weights": weights.reshape(-1).tolist(),
        "modes": [im.mode for im in opened], "sizes": [im.size for im in opened],
        "greys": [numpy.asarray(im).astype(int).tolist() for im in opened[:3]]})
print(json.dumps(found))`;
    const read = runPython(context, pillow, code2, {
      folders: folders.map(([folder]: string[]) => at(`maps/${folder}`)),
    });
    const found = read as {
      shape: number[];
      weights: number[];
      modes: string[];
      sizes: number[][];
      greys: number[][][];
    }[];
    for (const [i, { shape, weights, modes, sizes, greys }] of found.entries()) {
      const [, width, height] = folders[i];
      expect(shape).toEqual([2, 2, 4]);
      expect(modes.map((mode) => mode.slice(0, 1))).toEqual(["I", "I", "I", "R"]);
      expect(sizes).toEqual(Array(4).fill([width, height]));
      const heads = [weights.slice(0, 8), weights.slice(8)];
      const mean = heads[0]?.map((value, patch) => (value + (heads[1]?.[patch] ?? 0)) / 2) ?? [];
      for (const [m, values] of [...heads, mean].entries()) {
        const most = Math.max(...values);
        for (const [y, x] of [
          [0, 0],
          [height - 1, width - 1],
          [height - 1, 0],
          [1, width >> 1],
        ] as const) {
          const patch = Math.floor(((y + 0.5) * 2) / height) * 4 + Math.floor(((x + 0.5) * 4) / width);
          expect(Math.abs((greys[m]?.[y]?.[x] ?? -1) - (65_535 * (values[patch] ?? 0)) / most)).toBeLessThanOrEqual(1);
        }
      }
      const shares = line.images[i].onPatches;
      heads.forEach((head, h) => {
        expect(head.reduce((sum, value) => sum + value, 0)).toBeCloseTo(shares[h], 6);
      });
    }
  });

  it("leaves a page that escapes names and loads nothing", { timeout: 120_000 }, async () => {
    const html = await readFile(at("maps/attention.html"), "utf8");
    expect(html).not.toContain("<b>&'one");
    expect(html).toContain("&lt;b&gt;&amp;&#39;one.png");
    expect(html.match(/<img /g)).toHaveLength(3 * (1 + 1 + 1 + 2));
    expect(html).not.toMatch(/https?:|<script/);
    for (const [, data = ""] of html.matchAll(/src="data:image\/png;base64,([^"]+)"/g))
      expect((await sharp(Buffer.from(data, "base64")).metadata()).format).toBe("png");
  });

  it("gives what the library gives", { timeout: 120_000 }, async () => {
    const { code } = await run(
      "attention",
      at("two.png"),
      ...given(),
      "--out",
      at("same"),
      "--values",
      "--maps",
      "attention",
    );
    expect(code).toBe(0);
    expect(await readdir(at("same/two"))).not.toContain("pca.png");
    const bytes = await readFile(at("same/two/weights.npy"));
    const written = new Float32Array(
      bytes.buffer.slice(bytes.byteOffset + bytes.length - 64, bytes.byteOffset + bytes.length),
    );
    const file = await openCheckpoint(await fileSource(at("encoder.safetensors")));
    const { model } = await loadEncoder(device, file, {}, "encoder");
    const source = await openImages(at("two.png"), { workers: 0 });
    const { value } = await attentionMaps(model, source, { fit: "squash" }).next();
    expect(value?.weights).toEqual(written);
    await source.close?.();
    await file.close();
    model.destroy();
  });

  it("takes a size, finer grids, and keeps what is there", { timeout: 240_000 }, async () => {
    const args = [at("two.png"), ...given(), "--out", at("large"), "--size", "100", "--image-size", "32"];
    const first = await run("attention", ...args, "--json");
    expect(first.code).toBe(0);
    expect(JSON.parse(first.out).images).toMatchObject([{ width: 100, height: 53, grid: [8, 8] }]);
    const again = await run("attention", ...args);
    expect([again.code, again.err]).toEqual([1, expect.stringMatching(/head-0\.png exists|mean\.png exists/)]);
    expect((await run("attention", ...args, "--force")).code).toBe(0);
  });

  it("says what to do without a class token, without a block, and with an image that is none", {
    timeout: 240_000,
  }, async () => {
    const bare = ["--weights", at("bare.safetensors"), "--workers", "0", "--out", at("bare")];
    const refused = await run("attention", at("two.png"), ...bare);
    expect([refused.code, refused.err]).toEqual([2, expect.stringMatching(/no class token.*--maps pca/)]);
    expect((await run("attention", at("two.png"), ...bare, "--maps", "pca")).code).toBe(0);
    expect(await readdir(at("bare/two"))).toEqual(["pca.png"]);
    const block = await run("attention", at("two.png"), ...given(), "--out", at("none"), "--block", "3");
    expect([block.code, block.err]).toEqual([1, expect.stringMatching(/block 3 does not exist; choose from 0 … 2/)]);
    await writeFile(at("no.png"), (await readFile(at("two.png"))).subarray(0, 60));
    const broken = await run("attention", at("no.png"), ...given(), "--out", at("none"));
    expect([broken.code, broken.err]).toEqual([1, expect.stringMatching(/no\.png/)]);
  });
});
