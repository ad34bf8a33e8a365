import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { type EvaluationLine, evaluationLineSchema, receiptSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { zipped } from "../../refiner/vtab/zipped.ts";
import { publishedNames } from "../published_names.ts";
import { type CommandResult, run } from "../run_command.ts";
import { checkpoints, type Ended, smallFolder, start } from "../small_run.ts";

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
    await sharp(picture(i % classes, i), { raw })
      .png()
      .toFile(at(`tasks/${task}/${name}`));
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
/** 2 rates with 2 seeds, and 2 final runs, on each task: 12 runs of 4 epochs of 3 or 4 updates. */
const small = ["--preset", "small", "--learning-rates", "0.02,0.00001", "--epochs", "4", "--batch", "8", "--seed", "5"];

function succeeded({ code, out, err }: CommandResult | Ended) {
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
  return { out, err };
}

const evaluate = async (...args: readonly string[]) => succeeded(await run("evaluate", "vtab", ...args));
/** By the built command. */
const built = async (...args: readonly string[]) => succeeded(await start("evaluate", "vtab", ...args).ended);

function parsed({ out }: { readonly out: string }): EvaluationLine {
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
    const line = parsed(await built(...inputs(), ...tasks, ...small, ...files, "--json"));
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
    expect(Object.keys(receipt.settings)).toEqual(expect.arrayContaining(publishedNames("vtab")));
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

  it("gives the same bytes when it is killed in a search and in a final run", { timeout: 180_000 }, async () => {
    const long = ["--preset", "small", "--seeds", "1", "--epochs", "8", "--batch", "8"];
    const options = [...inputs(), ...tasks, ...long, "--checkpoint-minutes", "0.0000000001"];
    const killed = at("killed");
    const owner = () => readFile(join(killed, "working/run.txt"), "utf8").catch(() => "");
    const isSaved = async (run: string) =>
      (await owner()).startsWith(run) && (await checkpoints(join(killed, "working"))).length > 0;
    const said: string[] = [];
    for (const run of ["svhn search 0.00025", "kitti final"]) {
      const { child, ended } =
        said.length === 0
          ? start("evaluate", "vtab", ...options, "--out", killed)
          : start("evaluate", "vtab", "--resume", killed);
      while (child.exitCode === null && !(await isSaved(run))) await new Promise((resolve) => setTimeout(resolve, 2));
      child.kill("SIGKILL");
      said.push((await ended).err);
    }
    const { err } = await built("--resume", killed);
    expect([said[1], err]).toEqual([
      expect.stringMatching(/resumed from checkpoints\/.*run 2 of 6: svhn, search/s),
      expect.stringMatching(/resumed from checkpoints\/.*run 6 of 6: kitti, final/s),
    ]);
    const straight = at("straight");
    await evaluate(...options, "--out", straight);
    expect(await filesOf(killed)).toEqual(await filesOf(straight));
  });

  it("plans runs, memory and time, and leaves nothing with --dry-run", { timeout: 120_000 }, async () => {
    const given = [...inputs(), ...tasks, ...small, "--dry-run", "--out", at("planned")];
    const { plan, time } = JSON.parse((await evaluate(...given, "--json")).out);
    // Searches: 2 tasks × 4 runs × 4 epochs × 3 updates; final: 2 tasks × 2 runs × 4 epochs × 4 updates.
    expect(plan).toMatchObject({ tasks: 2, runs: 12, updates: 96 + 64, testedImages: 8 * 9 + 4 * 18 });
    const { total, ...parts } = plan.memory;
    expect(Object.values(parts).reduce((sum: number, bytes) => sum + Number(bytes), 0)).toBe(total);
    expect(time.seconds).toBeCloseTo(plan.updates * time.updateSeconds + plan.testedImages * time.imageSeconds, 9);
    expect(time.updateSeconds).toBeGreaterThan(0);
    expect(await readdir(at(""))).not.toContain("planned");
  });

  it("sets two encoders side by side, and keeps them apart", { timeout: 240_000 }, async () => {
    await cp(at("weights.safetensors"), at("same.safetensors"));
    const short = [...tasks, "--learning-rates", "0.02", "--seeds", "1", "--epochs", "1", "--batch", "8"];
    const predicted = ["--predictions", at("both.parquet")];
    const out = ["--out", at("both"), "--compare", at("same.safetensors"), ...predicted];
    const line = parsed(await evaluate(...inputs(), ...short, ...out, "--json"));
    expect(line.receipt.selection.on).toBe("nothing"); // one rate: nothing to search
    expect(line.compared?.differences.map(({ difference, how }) => [difference, how])).toEqual(
      Array.from({ length: 5 }, () => [0, "paired"]),
    );
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(at("both.parquet")) });
    expect(rows).toHaveLength(2 * 18);
    expect(rows[0]).toMatchObject({ task: "svhn", seed: 0, path: at("tasks/svhn/images/000033.png"), label: "0" });
    expect(await readdir(at("both/runs"))).toEqual(["kitti.final.0.02.seed0.json", "svhn.final.0.02.seed0.json"]);
    expect(await readdir(at("both/compared/runs"))).toEqual(await readdir(at("both/runs")));
    await zipped(at("vtab-1k.zip"), at("tasks"), "vtab-1k");
    const archived = ["--weights", at("weights.safetensors"), "--images", at("vtab-1k.zip"), "--workers", "0"];
    const fromArchive = parsed(await evaluate(...archived, ...short, "--json"));
    expect(fromArchive.receipt.scores).toEqual(line.receipt.scores);
    expect(fromArchive.receipt.settings).toEqual(line.receipt.settings);
    await evaluate(...inputs(), ...short, "--layer-decay", "0.5", "--out", at("other"));
    const refused = await run("evaluate", "compare", at("both"), at("other"));
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("settings.layerDecay (0.75 and 0.5)")]);
    const resumed = await run("evaluate", "vtab", "--resume", at("other"), "--layer-decay", "0.6");
    expect([resumed.code, resumed.err]).toEqual([2, expect.stringContaining("layerDecay")]);
  });

  it("says what is wrong with tasks, lists and options", { timeout: 120_000 }, async () => {
    const failing = async (folder: string, ...args: readonly string[]) => {
      const given = ["--weights", at("weights.safetensors"), "--images", at(folder), "--workers", "0"];
      const { code, err } = await run("evaluate", "vtab", ...given, ...args);
      return `${code} ${err}`;
    };
    expect(await failing("tasks", "--tasks", "svhn,mnist")).toMatch(
      /^2 .*there is no task mnist; choose from cifar, .*smallnorb_ele/s,
    );
    expect(await failing("tasks")).toMatch(/^1 .*68 lists are missing, of the tasks cifar, .*--tasks svhn,kitti/s);
    expect(await failing("tasks", ...tasks, "--test", at("tasks"))).toMatch(/^2 .*--test has no meaning here/s);
    expect(await failing("tasks", ...tasks, "--confusion", at("x.csv"))).toMatch(/^2 .*take --predictions/s);
    expect(await failing("tasks", ...tasks, "--preset", "large")).toMatch(/^2 .*choose from paper, small/s);
    expect(await failing("tasks", ...tasks, "--learning-rates", "0.1,0.1")).toMatch(
      /^2 .*the learning rate 0.1 is given twice/s,
    );
    expect(await failing("tasks", ...tasks)).toMatch(
      /^1 .*train800 of svhn has 24 images, less than one batch of 64; use/s,
    );
    await cp(at("tasks"), at("broken"), { recursive: true });
    const wrongly = async (list: string, from: string, to: string) => {
      const text = await readFile(at(`tasks/svhn/${list}.txt`), "utf8");
      expect(text).toContain(from);
      await writeFile(at(`broken/svhn/${list}.txt`), text.replace(from, to));
      const said = await failing("broken", "--tasks", "svhn");
      await writeFile(at(`broken/svhn/${list}.txt`), text);
      return said;
    };
    expect(await wrongly("val200", "000025.png", "gone.png")).toMatch(
      /^1 .*line 2 of .*val200\.txt names .*images\/gone\.png, which is no file/s,
    );
    expect(await wrongly("val200", ".png 1", ".png")).toMatch(/^1 .*line 2 of .*val200\.txt has no label/s);
    expect(await wrongly("val200", ".png 1", ".png one")).toMatch(/^1 .*line 2 of .*has the label one, expected/s);
    expect(await wrongly("train800val200", "000025.png 1", "000025.png 2")).toMatch(
      /^1 .*line 26 of .*train800val200\.txt gives .*000025\.png the label 2, an earlier line 1/s,
    );
    expect(await wrongly("test", "000034.png 1", "000034.png 3")).toMatch(
      /^1 .*line 2 of .*test\.txt has the label 3, but the training lists of the task end at 2/s,
    );
  });
});
