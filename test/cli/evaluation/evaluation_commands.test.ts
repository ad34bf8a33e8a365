import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { hostUniform } from "../../../engine/index.ts";
import { fileSource, writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder } from "../../../models/checkpoints/index.ts";
import { vitConfig } from "../../../models/index.ts";
import { FeatureExtractor } from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { exampleMetrics } from "../../refiner/report/example_run.ts";
import { run, temporaryFolder } from "../run_command.ts";
import { cli, startProgram } from "../small_run.ts";

const device = await testDevice();
const at = await temporaryFolder();
const small = vitConfig({ patchPixels: 4, width: 32, blocks: 3, heads: 2, heightPixels: 28, widthPixels: 28 });
const side = 28;

beforeAll(async () => {
  for (const [label, grey] of [
    ["bright", 200],
    ["dark", 30],
  ] as const) {
    await mkdir(at(`images/${label}`), { recursive: true });
    for (let i = 0; i < 15; i++) {
      const data = Uint8Array.from({ length: 3 * side * side }, (_, pixel) => grey + ((pixel * (i + 3)) % 25));
      await sharp(data, { raw: { width: side, height: side, channels: 3 } })
        .png()
        .toFile(at(`images/${label}/${String(i).padStart(2, "0")}.png`));
    }
  }
  // Larger than what they are resized to, so that it shows who resizes them.
  for (const label of ["dark", "light"]) {
    await mkdir(at(`photographs/${label}`), { recursive: true });
    for (let i = 0; i < 6; i++) {
      const [width, height] = [100 + 7 * i, 90 - 3 * i];
      const noise = hostUniform(3 * width * height, { seed: i, purpose: label });
      await sharp(
        Uint8Array.from(noise, (value) => 128 * value + (label === "light" ? 127 : 0)),
        { raw: { width, height, channels: 3 } },
      )
        .png()
        .toFile(at(`photographs/${label}/0${i}.png`));
    }
  }
  await writeFileAtomic(at("small.safetensors"), (sink) => saveEncoder(sink, randomEncoder(device, small)));
});

const model = () => ["--weights", at("small.safetensors"), "--workers", "0"];

describe("knn", () => {
  it("prints one accuracy per block, tab-separated", { timeout: 120_000 }, async () => {
    const { code, out, err } = await run("knn", ...model(), "--images", at("images"), "-k", "3");
    expect([code, err.includes("error:")]).toEqual([0, false]);
    const rows = out
      .trim()
      .split("\n")
      .map((line) => line.split("\t"));
    expect(rows[0]).toEqual(["block", "accuracy"]);
    expect(rows.slice(1).map(([block]) => block)).toEqual(["0", "1", "2"]);
    expect(Number(rows[1]?.[1])).toBe(1); // grey levels 170 apart
  });

  it("gives one JSON line with the settings", { timeout: 120_000 }, async () => {
    const { out } = await run("knn", ...model(), "--images", at("images"), "-k", "3", "--block", "1", "--json");
    expect(out.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(out)).toMatchObject({ k: 3, pool: "cls", blocks: [1], testImages: 6, trainImages: 24 });
  });

  it("says what to do about images without labels, too few images, and a block that is none", {
    timeout: 120_000,
  }, async () => {
    const unlabelled = await run("knn", ...model(), "--images", at("images/dark"), "-k", "3");
    expect(unlabelled.code).toBe(1);
    expect(unlabelled.err).toMatch(/has a label; use a folder with one subfolder per class/);
    const few = await run("knn", ...model(), "--images", at("images"), "-k", "25");
    expect([few.code, /choose 1 … 24/.test(few.err)]).toEqual([1, true]);
    const block = await run("knn", ...model(), "--images", at("images"), "--block", "3");
    expect([block.code, /choose 0 … 2/.test(block.err)]).toEqual([2, true]);
  });
});

describe("layers", () => {
  it("marks the blocks to attach heads at, and says how", { timeout: 120_000 }, async () => {
    const { code, out, err } = await run("layers", ...model(), "--images", at("images"), "-k", "3", "--json");
    expect(code).toBe(0);
    const result = JSON.parse(out);
    expect(result.heads.at(-1)).toBe("last");
    expect(result.knn[result.peak]).toBe(Math.max(...result.knn));
    expect(err).toContain(`mimrefine refine --heads ${result.heads.join(",")}`);
    expect(err).toContain("reconstruction is not measured");
  });
});

describe("embed, knn, layers and search", () => {
  /** Rows by block and image, of all features that a command computes: every image by itself, whatever its group. */
  async function computedBy(work: () => Promise<{ readonly code: number }>): Promise<Map<string, string[]>> {
    const rows = new Map<string, string[]>();
    const { submit } = FeatureExtractor.prototype;
    const spy = vi.spyOn(FeatureExtractor.prototype, "submit").mockImplementation(async function (
      this: FeatureExtractor,
      images,
    ) {
      const read = await submit.call(this, images);
      return async () => {
        const features = await read();
        this.blocks.forEach((block, i) => {
          const own = Array.from(images, (_, row) => features[i]?.slice(row * this.width, (row + 1) * this.width));
          rows.set(String(block), [...(rows.get(String(block)) ?? []), ...own.map(String)]);
        });
        return features;
      };
    });
    try {
      expect((await work()).code).toBe(0);
    } finally {
      spy.mockRestore();
    }
    return rows;
  }

  it.each(["cls", "avg"])("use the same features to the bit, pooled by %s", { timeout: 180_000 }, async (pool) => {
    const fixed = [...model(), "--images", at("photographs"), "--pool", pool];
    const embedded = new Map<string, string[]>();
    for (const block of ["0", "1", "last"]) {
      const out = at(`${pool}-${block}.safetensors`);
      const { code } = await run("embed", ...fixed, "--block", block, "--out", out);
      expect(code).toBe(0);
      const file = await openCheckpoint(await fileSource(out));
      const values = await file.readAsF32("features");
      await file.close();
      embedded.set(
        block,
        Array.from({ length: 12 }, (_, row) => String(values.slice(32 * row, 32 * (row + 1)))),
      );
    }
    for (const command of ["knn", "layers"]) {
      const computed = await computedBy(() => run(command, ...fixed, "-k", "2", "--batch", "5"));
      expect([...computed.keys()]).toEqual([...embedded.keys()]);
      // Every fifth image is held out and encoded behind the others.
      const order = [1, 2, 3, 4, 6, 7, 8, 9, 11, 0, 5, 10];
      for (const [block, rows] of embedded) expect(computed.get(block)).toEqual(order.map((row) => rows[row]));
    }
    for (const [block, rows] of embedded) {
      const index = at(`${pool}-${block}.safetensors`);
      const query = at("photographs/light/03.png"); // images of the class "dark" come first
      const computed = await computedBy(() => run("search", query, "--index", index, ...model().slice(0, 2)));
      expect(computed.get(block)).toEqual([rows[6 + 3]]);
    }
  });
});

describe("search", () => {
  it("finds the image itself first, and its like before others", { timeout: 120_000 }, async () => {
    await run("embed", ...model(), "--images", at("images"), "--out", at("index.safetensors"));
    const query = at("images/dark/04.png");
    const { code, out } = await run(
      "search",
      query,
      "--index",
      at("index.safetensors"),
      "--weights",
      at("small.safetensors"),
      "-k",
      "5",
      "--json",
    );
    expect(code).toBe(0);
    const { results } = JSON.parse(out);
    expect(results[0].image).toBe(query);
    // The same bytes through the same program: only the cosine's own roundings are left.
    expect(results[0].similarity).toBeGreaterThan(1 - 1e-5);
    expect(new Set(results.map((result: { class: string }) => result.class))).toEqual(new Set(["dark"]));
  });

  it("names the list that is missing beside an index", { timeout: 120_000 }, async () => {
    await writeFile(at("lonely.safetensors"), await readFile(at("index.safetensors")));
    const found = await run(
      "search",
      at("images/dark/04.png"),
      "--index",
      at("lonely.safetensors"),
      ...model().slice(0, 2),
    );
    expect([found.code, /lonely\.safetensors\.files\.tsv is missing/.test(found.err)]).toEqual([1, true]);
  });
});

describe("report", () => {
  it("writes the report of a run folder and prints its path", async () => {
    await mkdir(at("run"), { recursive: true });
    await writeFile(at("run/config.json"), "{}");
    await writeFile(at("run/metrics.jsonl"), exampleMetrics());
    const { code, out } = await run("report", at("run"));
    expect([code, out.trim()]).toEqual([0, at("run/report.html")]);
    expect(await readFile(at("run/report.html"), "utf8")).toContain("k-NN accuracy of every block");
  });

  it("leaves the old one whole when it is killed while it writes", { timeout: 30_000 }, async () => {
    await mkdir(at("killed"), { recursive: true });
    await writeFile(at("killed/config.json"), "{}");
    await writeFile(at("killed/metrics.jsonl"), exampleMetrics());
    await writeFile(at("killed/report.html"), "old");
    const killing = fileURLToPath(new URL("../killed_while_writing.mjs", import.meta.url));
    const { ended } = startProgram(process.execPath, ["--import", killing, cli, "report", at("killed")]);
    expect(await ended).toMatchObject({ code: null, out: "" });
    expect((await readdir(at("killed"))).some((file) => file.endsWith(".part"))).toBe(true); // it had begun
    expect(await readFile(at("killed/report.html"), "utf8")).toBe("old");
    expect((await run("report", at("killed"))).code).toBe(0);
    expect(await readFile(at("killed/report.html"), "utf8")).toContain("k-NN accuracy of every block");
  });

  it("keeps a file that it was not told to overwrite", async () => {
    await writeFile(at("mine.html"), "mine");
    const refused = await run("report", at("run"), "--out", at("mine.html"));
    expect([refused.code, /mine\.html exists/.test(refused.err)]).toEqual([1, true]);
    expect(await readFile(at("mine.html"), "utf8")).toBe("mine");
  });

  it("refuses a folder that holds no run", async () => {
    const refused = await run("report", at("images"));
    expect([refused.code, /neither config\.json nor metrics\.jsonl/.test(refused.err)]).toEqual([1, true]);
  });
});
