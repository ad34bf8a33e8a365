import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { runDemo } from "../../cli/commands/demo.ts";
import { demoFiles, loadDemoEncoder } from "../../cli/demo_run/demo_files.ts";
import { chosenSchedule, demoSchedule, estimatedSeconds, measureUpdate } from "../../cli/demo_run/demo_schedule.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import { refineConfig } from "../../refiner/index.ts";
import { testDevice } from "../device.ts";
import { run, temporaryFolder } from "./run_command.ts";

const at = await temporaryFolder();

const resultSchema = z.strictObject({
  adapter: z.string().min(1),
  seconds: z.number().positive(),
  images: z.number(),
  metrics: z.strictObject({
    before: z.object({ knn: z.array(z.number()) }),
    afterStage2: z.object({ knn: z.array(z.number()) }),
    after: z.object({ knn: z.array(z.number()) }),
  }),
  out: z.string(),
});

/** Two updates per stage on 64 digits. */
const tiny = {
  name: "short",
  config: refineConfig(
    {
      ...demoSchedule("short", 0).config,
      batch: 32,
      queueLength: 64,
      stage2Epochs: 1,
      stage3Epochs: 1,
      stage2Warmup: 0,
    },
    "small",
  ),
  trainImages: 64,
  testImages: 32,
} as const;

describe("the demo's files", () => {
  it("weigh at most 5 MB", async () => {
    const { weights, train, test } = await demoFiles();
    const labels = [train, test].map((path) => path.replace("images-idx3", "labels-idx1"));
    const sizes = await Promise.all([weights, train, test, ...labels].map(async (path) => (await stat(path)).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(5e6);
  });

  it("hold 8,000 and 2,000 labelled digits of which none is in both", async () => {
    const { train, test } = await demoFiles();
    const seen = new Set<string>();
    for (const [path, length] of [
      [train, 8000],
      [test, 2000],
    ] as const) {
      const images = await openImages(path, { channels: 1 });
      expect(images.length).toBe(length);
      const classes = new Set<number | undefined>();
      for (let i = 0; i < length; i++) {
        seen.add(Buffer.from((await images.load(i)).data).toString("latin1"));
        classes.add(images.label(i));
      }
      expect([...classes].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    expect(seen.size).toBe(10_000);
  });
});

describe("the demo's schedule", () => {
  it("is the full one where that takes three minutes at most, else the short one", () => {
    const full = demoSchedule("full", 0);
    const limit = 180 / estimatedSeconds(full, 1);
    expect(chosenSchedule(0.99 * limit, 0)).toEqual(full);
    expect(chosenSchedule(1.01 * limit, 0)).toEqual(demoSchedule("short", 0));
  });

  it("is the brief one where the short one takes more than eight minutes", () => {
    const short = demoSchedule("short", 0);
    const limit = 480 / estimatedSeconds(short, 1);
    expect(chosenSchedule(0.99 * limit, 0)).toEqual(short);
    expect(chosenSchedule(1.01 * limit, 0)).toEqual(demoSchedule("brief", 0));
  });

  it("is chosen by the time of an update, which is measured", { timeout: 120_000 }, async () => {
    const files = await demoFiles();
    const device = await testDevice();
    const images = await openImages(files.train, { channels: 1 });
    const seconds = await measureUpdate(await loadDemoEncoder(device, files), images);
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThan(60);
  });

  it("takes the seed into its configuration", () => {
    expect(demoSchedule("full", 7).config.seed).toBe(7);
    expect(demoSchedule("short", 7).config.seed).toBe(7);
  });
});

describe("demo", () => {
  it("leaves k-NN as it was in stage 2, prints one line of JSON, and writes a run with a report", {
    timeout: 300_000,
  }, async () => {
    const out: string[] = [];
    const context = {
      streams: { out: (text: string) => void out.push(text), err: () => {}, isTerminal: false },
      exitCode: 0,
    };
    const options = {
      json: true,
      quiet: true,
      robust: false,
      reproducible: false,
      tune: true,
      seed: 0,
      out: at("run"),
      full: false,
      force: false,
    };
    await runDemo(context, options, async () => tiny);
    const text = out.join("");
    expect(text.trimEnd().split("\n")).toHaveLength(1);
    const { metrics, images } = resultSchema.parse(JSON.parse(text));
    expect(images).toBe(64);
    expect(metrics.before.knn).toHaveLength(6);
    expect(metrics.afterStage2.knn).toEqual(metrics.before.knn);
    expect(metrics.after.knn).toHaveLength(6);
    const lines = (await readFile(at("run/metrics.jsonl"), "utf8")).trimEnd().split("\n");
    expect(lines).toHaveLength(2 + 2 + 3); // updates of both stages and three evaluations
    expect(await readFile(at("run/report.html"), "utf8")).toContain("data:image/png;base64,");
    expect((await stat(at("run/encoder.safetensors"))).size).toBeGreaterThan(0);
    // A run on the first images only is gone on with on them.
    const { code, err } = await run("refine", "--resume", at("run"));
    expect([code, err]).toEqual([0, expect.not.stringContaining("differ")]);
  });

  it("refuses a folder that holds a run", async () => {
    await mkdir(at("taken"));
    await writeFile(at("taken/config.json"), "{}");
    const { code, err, out } = await run("demo", "--out", at("taken"));
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("--force");
  });

  it("is found beside the sources and names its data's licences", async () => {
    const card = await readFile(join(dirname((await demoFiles()).weights), "README.md"), "utf8");
    expect(card).toMatch(/MIT/);
    expect(card).toMatch(/CC BY-SA 3\.0/);
  });
});
