import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { type EvaluationLine, evaluationLineSchema, receiptSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { smallFolder, start } from "../small_run.ts";

const at = await smallFolder();
const python = promisify(execFile);
const [wide, high] = [20, 10];

/** Pictures of other shapes than the model's: bright in another third each, with some noise. */
function thirds(label: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: wide * high }, (_, i) => {
    const isOwn = Math.floor((3 * (i % wide)) / wide) === label;
    const noise = Math.imul(i + 1 + 200 * seed, 2654435761) >>> 24;
    return (isOwn ? 150 : 40) + Math.floor(noise / 4);
  });
}

/** The same with bright rows above or below. */
function halves(label: number, seed: number): Uint8Array {
  return thirds(0, seed).map((value, i) => (Math.floor(i / wide / (high / 2)) === label ? 255 - value : value));
}

const lists = { train800: [0, 24], val200: [24, 33], train800val200: [0, 33], test: [33, 51] } as const;

async function writeTask(task: string, classes: number, picture: (label: number, seed: number) => Uint8Array) {
  await mkdir(at(`tasks/${task}/images`), { recursive: true });
  const names = Array.from({ length: 51 }, (_, i) => `images/${String(i).padStart(6, "0")}.png`);
  for (const [i, name] of names.entries()) {
    const raw = { width: wide, height: high, channels: 1 } as const;
    await sharp(picture(i % classes, i), { raw }).png().toFile(at(`tasks/${task}/${name}`));
  }
  for (const [list, [from, end]] of Object.entries(lists)) {
    const lines = names.slice(from, end).map((name, i) => `${name} ${(from + i) % classes}\n`);
    await writeFile(at(`tasks/${task}/${list}.txt`), lines.join(""));
  }
}

beforeAll(async () => {
  await writeTask("svhn", 3, thirds);
  await writeTask("kitti", 2, halves);
});

const inputs = () => ["--weights", at("weights.safetensors"), "--images", at("tasks"), "--workers", "0"];
const tasks = ["--tasks", "svhn,kitti"];
/** 2 rates with 2 seeds, and 2 final runs, on each task: 12 runs of 2 or 4 epochs of 3 or 4 updates. */
const small = ["--preset", "small", "--rates", "0.02,0.00001", "--epochs", "4", "--batch", "8", "--seed", "5"];

async function evaluate(...args: readonly string[]) {
  const { code, out, err } = await start("evaluate", "vtab", ...args).ended;
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
  return { out, err };
}

async function lineOf(...args: readonly string[]): Promise<EvaluationLine> {
  const { out } = await evaluate(...args, "--json");
  expect(out.trimEnd().split("\n")).toHaveLength(1);
  return evaluationLineSchema.parse(JSON.parse(out));
}

/** Every file that an evaluation left. */
async function filesOf(out: string): Promise<Record<string, string>> {
  const names = (await readdir(out, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const paths = names.map(({ parentPath, name }) => join(parentPath, name));
  const contents = paths.map(async (path) => [path.slice(out.length + 1), await readFile(path, "base64")] as const);
  return Object.fromEntries((await Promise.all(contents)).sort());
}

describe("evaluate vtab", () => {
  it("searches, trains on all and tests, and other programs read what it leaves", { timeout: 120_000 }, async () => {
    const files = ["--out", at("all"), "--predictions", at("all.csv")];
    const line = await lineOf(...inputs(), ...tasks, ...small, ...files);
    const { receipt, details } = line;
    expect(receiptSchema.parse(JSON.parse(await readFile(at("all/receipt.json"), "utf8")))).toEqual(receipt);
    expect(receipt.scores.map(({ name }) => name)).toEqual([
      "accuracy, mean of 2 tasks",
      "accuracy, mean of 1 natural tasks",
      "accuracy, mean of 1 structured tasks",
      "accuracy, svhn",
      "accuracy, kitti",
    ]);
    expect(details.tasks).toMatchObject([
      { task: "svhn", group: "natural", classes: 3, rate: 0.02, testImages: 18, accuracies: { length: 2 } },
      { task: "kitti", group: "structured", classes: 2, rate: 0.02, testImages: 18, accuracies: { length: 2 } },
    ]);
    const [main, natural] = receipt.scores;
    expect(natural?.value).toBeGreaterThan(0.6); // 1/3 by chance
    const { lists: receipts } = receipt.settings as { lists: Record<string, Record<string, unknown>> };
    for (const task of ["svhn", "kitti"]) {
      const sha256 = createHash("sha256").update(await readFile(at(`tasks/${task}/test.txt`)));
      expect(receipts[task]?.test).toEqual({ images: 18, sha256: sha256.digest("hex") });
    }
    expect(await readdir(at("all/runs"))).toHaveLength(12);
    expect(await readdir(at("all/working"))).toEqual(["checkpoints"]);

    const script = `
import csv, json, sys
table = list(csv.DictReader(open(sys.argv[1], newline="")))
rows = list(csv.DictReader(open(sys.argv[2], newline="")))
by = {}
for row in rows: by.setdefault((row["task"], row["seed"]), []).append(row["label"] == row["prediction"])
print(json.dumps({"table": table, "runs": {" ".join(k): sum(v) / len(v) for k, v in by.items()}, "rows": len(rows)}))`;
    const { stdout } = await python("python3", ["-c", script, at("all/table.csv"), at("all.csv")]);
    const read = JSON.parse(stdout);
    expect(read.rows).toBe(2 * 2 * 18);
    expect(read.table.map(({ name }: { name: string }) => name)).toEqual([
      ...["svhn", "kitti", "mean of 1 tasks", "mean of 1 tasks", "mean of 2 tasks"],
    ]);
    expect(Number(read.table[4].accuracy)).toBeCloseTo(main?.value ?? Number.NaN, 12);
    const mean = ["svhn 5", "svhn 6", "kitti 5", "kitti 6"].reduce((sum, run) => sum + read.runs[run] / 4, 0);
    expect(mean).toBeCloseTo(main?.value ?? Number.NaN, 12);
  });

  it("gives the same bytes when it is killed in a search, in a final run and between", {
    timeout: 180_000,
  }, async () => {
    const begin = (out: string) =>
      start("evaluate", "vtab", ...inputs(), ...tasks, ...small, "--checkpoint-minutes", "0.00001", "--out", out);
    const killed = at("killed");
    const finished = async () => (await readdir(join(killed, "runs")).catch(() => [])).length;
    const saved = async () => (await readdir(join(killed, "working/checkpoints")).catch(() => [])).length;
    for (const [i, moment] of [1, 4, 9].entries()) {
      const { child, ended } = i === 0 ? begin(killed) : start("evaluate", "vtab", "--resume", killed);
      while (child.exitCode === null && ((await finished()) < moment || (await saved()) === 0))
        await new Promise((resolve) => setTimeout(resolve, 5));
      child.kill("SIGKILL");
      await ended;
    }
    expect(await finished()).toBeLessThan(12);
    const { err } = await evaluate("--resume", killed);
    expect(err).toMatch(/resumed from|run \d+ of 12/);
    const straight = at("straight");
    expect((await begin(straight).ended).code).toBe(0);
    expect(await filesOf(killed)).toEqual(await filesOf(straight));
  });
});
