import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { finetuneSummary } from "../../../cli/runs/finetune_report.ts";
import { openStep } from "../../../engine/step/load_step.ts";
import { publishedNames } from "../published_names.ts";
import { run as runHere } from "../run_command.ts";
import { checkpoints, type Ended, smallFolder, start, waitForUpdates } from "../small_run.ts";

const at = await smallFolder();
const inputs = () => ["--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte")];
const settings = "--batch 16 --epochs 3 --warmup 1 --drop-path 0.4 --learning-rate 0.01 --seed 3".split(" ");
const run = (...args: readonly string[]) => start(...args).ended;
const begin = (out: string) => start("finetune", ...inputs(), "--out", out, ...settings, "--data-set", "imagenet");
let trained: Ended;
/** What `--data-set imagenet` says of these images; without it nothing is said. */
const refusal = "2 classes, ImageNet-1K has 1,000: no figures are shown";

beforeAll(async () => {
  trained = await begin(at("tested")).ended;
}, 120_000);

/** What Python's own readers make of files: a judge that shares no code with what wrote them. */
function python(script: string, ...args: readonly string[]): unknown {
  return JSON.parse(execFileSync("python3", ["-c", script, ...args], { encoding: "utf8" }));
}

const safetensors = `
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + length])
metadata = header.pop("__metadata__")
print(json.dumps({"shapes": {k: v["shape"] for k, v in header.items()}, "bytes": max(v["data_offsets"][1] for v in header.values()) + 8 + length == len(data), "classifier": json.loads(metadata["mimrefine.classifier"])}))
`;

const csv = `
import csv, json, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="", encoding="utf8")))
by = {}
for row in rows: by.setdefault(row["path"], []).append((int(row["rank"]), row["class"], float(row["probability"])))
print(json.dumps({"columns": list(rows[0]), "images": len(by), "first": [r[0] for r in next(iter(by.values()))], "sums": [sum(r[2] for r in v) for v in by.values()], "best": [v[0][1] for v in by.values()], "ordered": all(v == sorted(v, key=lambda r: -r[2]) for v in by.values())}))
`;

const jsonl = `
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf8")]
print(json.dumps({"keys": sorted(rows[0]), "images": len(rows), "best": [row["classes"][0]["class"] for row in rows], "labels": sorted({c["label"] for row in rows for c in row["classes"]})}))
`;

describe("finetune and predict", () => {
  it("leave a classifier, tests of every epoch, and classes that other tools read", { timeout: 300_000 }, async () => {
    const out = at("tested");
    expect(trained.err).not.toContain("error");
    expect(trained.code).toBe(0);
    expect(trained.out).toMatch(/top-1 after epoch \d+: [\d.]+ % of 16 test images/);
    expect(trained.out).toContain(`classifier: ${out}/classifier.safetensors`);
    const lines = (await readFile(join(out, "metrics.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    // Every fifth of 80 images is tested, 64 are trained on in batches of 16.
    expect(lines.filter(({ kind }) => kind === "update")).toHaveLength(12);
    expect(lines.filter(({ kind }) => kind === "test").map(({ epoch, images }) => [epoch, images])).toEqual([
      [1, 16],
      [2, 16],
      [3, 16],
    ]);
    const { settings: used } = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
    // The size of the images has another name there: 0 pixels stand for the encoder's own.
    const names = publishedNames("finetune").map((name) => (name === "imageSize" ? "pixels" : name));
    expect(Object.keys(used)).toEqual(expect.arrayContaining(names));
    const report = await readFile(join(out, "report.html"), "utf8");
    expect(report).toContain("Fine-tuning of tested");
    expect(report).toContain("Top-1 accuracy on the test images");
    expect(trained.out).toContain(refusal);
    expect(report.split('<section id="published"')[1]).toContain(refusal);

    const weights = join(out, "classifier.safetensors");
    const file = python(safetensors, weights);
    expect(file).toMatchObject({
      bytes: true,
      shapes: { "head.weight": [2, 16], "head.bias": [2], "pos_embed.embed": [1, 3, 3, 16], "norm.weight": [16] },
      classifier: { classNames: ["0", "1"], pooling: "cls", pixels: 12, mean: [0.449], deviation: [0.226] },
    });

    const [table, list] = [at("classes.csv"), at("classes.jsonl")];
    const written = await run("predict", at("images-idx3-ubyte"), "--weights", weights, "--out", table, "--json");
    expect(written.code).toBe(0);
    expect(JSON.parse(written.out)).toMatchObject({ images: 80, out: table, labelled: 80 });
    const rows = python(csv, table);
    expect(rows).toMatchObject({
      columns: ["path", "rank", "class", "probability"],
      images: 80,
      first: [1, 2],
      sums: new Array(80).fill(expect.closeTo(1, 6)),
      ordered: true,
    });
    expect(
      (await runHere("predict", at("images-idx3-ubyte"), "--weights", weights, "--top", "1", "--out", list)).code,
    ).toBe(0);
    const objects = python(jsonl, list);
    expect(objects).toMatchObject({ keys: ["classes", "path"], images: 80 });
    expect(objects).toHaveProperty("best", (rows as { best: unknown }).best);
    const printed = await runHere("predict", at("images-idx3-ubyte"), "--weights", weights);
    expect(printed.out).toBe(await readFile(table, "utf8"));
    expect(printed.err).toMatch(/top-1: [\d.]+ % of 80 images whose class is known/);
  });

  it("leave an update that export-step writes as one file", { timeout: 120_000 }, async () => {
    const { code, out } = await runHere("export-step", at("tested"), "--out", at("step.mimstep"), "--json");
    expect([code, JSON.parse(out)]).toEqual([0, expect.objectContaining({ stage: 1, update: 12 })]);
    const { header } = await openStep(new Uint8Array(await readFile(at("step.mimstep"))));
    expect(header.metadata).toMatchObject({ method: "finetune", update: "12" });
    expect(Object.keys(header.state)).toContain("classifier.head.weight");
  });

  it("do not go on with other training images or another reading of the encoder", { timeout: 120_000 }, async () => {
    const out = at("refused");
    const { child, ended } = start("finetune", ...inputs(), "--out", out, ...settings, "--rand-augment", "0");
    await waitForUpdates(child, out, 1);
    child.kill("SIGKILL");
    await ended;
    for (const [given, message] of [
      [["--no-evaluate"], /imageCount \(was 64, now 80\); give the same --images \(and --test, --no-evaluate/],
      [["--test", at("images-idx3-ubyte")], /imageCount \(was 64, now 80\)/],
      [
        ["--attention-heads", "4"],
        /the settings differ from those of the run: attentionHeads \(was undefined, now 4\)/,
      ],
    ] as const)
      expect(await runHere("finetune", "--resume", out, ...given)).toMatchObject({
        code: 2,
        err: expect.stringMatching(message),
      });
    const path = join(out, "config.json");
    await writeFile(path, (await readFile(path, "utf8")).replace('"learningRate": 0.01', '"learningRate": 0.03'));
    const edited = await runHere("finetune", "--resume", out);
    expect(edited).toMatchObject({ code: 2, err: expect.stringMatching(/config\.json is not as the run wrote it/) });
  });

  it("go on after a kill with the tests that were made", { timeout: 300_000 }, async () => {
    const [straight, killed] = [at("tested"), at("killed")];
    expect(trained.code).toBe(0);
    const { child, ended } = begin(killed);
    await waitForUpdates(child, killed, 8);
    child.kill("SIGKILL");
    await ended;
    const resumed = await run("finetune", "--resume", killed);
    expect(resumed.code).toBe(0);
    expect(resumed.out).toContain(refusal);
    const result = async (out: string) => readFile(join(out, "classifier.safetensors"));
    expect(Buffer.compare(await result(straight), await result(killed))).toBe(0);
    const tests = async (out: string) =>
      (await readFile(join(out, "metrics.jsonl"), "utf8")).split("\n").filter((line) => line.includes('"test"'));
    expect(await tests(killed)).toEqual(await tests(straight));
    expect((await checkpoints(killed)).at(-1)).toBe("000000012.safetensors");
  });

  it("say what is wrong with their input", { timeout: 120_000 }, async () => {
    const encoder = at("weights.safetensors");
    const noHead = await runHere("predict", at("images-idx3-ubyte"), "--weights", encoder);
    expect([noHead.code, noHead.err]).toEqual([1, expect.stringContaining("says nothing of classes")]);
    const ones = at("one-class.csv");
    await writeFile(ones, "path,label\na.png,x\nb.png,x\n");
    const oneClass = await runHere(
      "finetune",
      "--weights",
      encoder,
      "--images",
      ones,
      "--no-evaluate",
      "--out",
      at("x"),
    );
    expect([oneClass.code, oneClass.err]).toEqual([1, expect.stringContaining("all images are of one class (x)")]);
    const odd = await runHere("finetune", ...inputs(), "--batch", "15", "--out", at("x"));
    expect([odd.code, odd.err]).toEqual([2, expect.stringContaining("give even numbers")]);
    const preset = await runHere("finetune", ...inputs(), "--preset", "papers", "--out", at("x"));
    expect([preset.code, preset.err]).toEqual([2, expect.stringContaining("choose from paper")]);
    const format = await runHere("predict", at("images-idx3-ubyte"), "--weights", encoder, "--out", at("x.txt"));
    expect([format.code, format.err]).toEqual([2, expect.stringContaining("does not end with .csv or .jsonl")]);
  });

  it("plan the memory of a run, and the micro-batch that fits", { timeout: 120_000 }, async () => {
    const plan = async (...memory: readonly string[]) => {
      const { out } = await runHere("finetune", ...inputs(), ...settings, "--dry-run", "--json", ...memory);
      return JSON.parse(out);
    };
    const free = await plan("--memory", "10GB");
    expect(free).toMatchObject({ fits: true, plan: { updates: 12, microBatch: 16 } });
    const { memory } = free.plan;
    const { total, ...parts } = memory;
    expect(Object.values(parts).reduce((sum: number, bytes) => sum + Number(bytes), 0)).toBe(total);
    const tight = await plan("--memory", `${Math.round(total - memory.activations / 3)}B`);
    expect(tight.fits).toBe(false);
    expect(tight.change.microBatch).toBeLessThan(16);
  });
});

it("a fine-tuning that was stopped names the epoch of its last test", () => {
  const tests = [3, 6].map((epoch) => ({ epoch, accuracy: epoch / 10, images: 16 }));
  const stopped = { finished: false, updates: 30, tests };
  const { lines, result } = finetuneSummary(stopped, { seconds: 9, images: 64, out: "runs/a" });
  const selection = "nothing was chosen on the test images: the number is that of the last test, after epoch 6";
  expect(lines).toEqual(["stopped after 30 updates, 9 s", "top-1 after epoch 6: 60.00 % of 16 test images", selection]);
  expect(result).toMatchObject({ finished: false, last: tests[1], selection: { on: "nothing", text: selection } });
});
