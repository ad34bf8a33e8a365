import { execFile } from "node:child_process";
import { copyFile, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { type EvaluationLine, evaluationLineSchema, receiptSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { publishedNames } from "../published_names.ts";
import { run } from "../run_command.ts";
import { checkpoints, smallFolder, start, waitForUpdates } from "../small_run.ts";

const at = await smallFolder();
const device = await testDevice();
const python = promisify(execFile);
const inputs = (weights = "weights.safetensors") => [
  "--weights",
  at(weights),
  "--images",
  at("images-idx3-ubyte"),
  "--workers",
  "0",
];
/** 6 epochs of 3 updates: 80 images, of which 16 are tested and 10 % of the rest are held out. */
const short = ["--epochs", "6", "--batch", "16", "--rates", "0.01,0.1,1", "--checkpoint-minutes", "0.0000000001"];

async function evaluate(...args: readonly string[]) {
  const { code, out, err } = await run("evaluate", ...args);
  expect([code, err.includes("error:") ? err : ""]).toEqual([0, ""]);
  return { out, err };
}

async function lineOf(...args: readonly string[]): Promise<EvaluationLine> {
  const { out } = await evaluate(...args, "--json");
  expect(out.trimEnd().split("\n")).toHaveLength(1);
  return evaluationLineSchema.parse(JSON.parse(out));
}

/** By the built command. */
async function builtLineOf(...args: readonly string[]): Promise<EvaluationLine> {
  const { code, out, err } = await start("evaluate", ...args, "--json").ended;
  expect([code, err.includes("error:") ? err : ""]).toEqual([0, ""]);
  expect(out.trimEnd().split("\n")).toHaveLength(1);
  return evaluationLineSchema.parse(JSON.parse(out));
}

/** Of the whole first encoder, and of the last block of the other. */
let knn: EvaluationLine;
let otherLast: EvaluationLine;

beforeAll(async () => {
  const vit = { patchPixels: 4, width: 24, blocks: 3, heads: 2, channels: 1, heightPixels: 12, widthPixels: 12 };
  const model = randomEncoder(device, vitConfig(vit));
  await writeFileAtomic(at("other.safetensors"), (sink) => saveEncoder(sink, model));
  const files = ["--predictions", at("knn.csv"), "--confusion", at("knn-confusion.csv"), "--out", at("knn")];
  knn = await builtLineOf("knn", ...inputs(), "-k", "3", ...files);
  const last = ["--block", "last", "--out", at("other-last")];
  otherLast = await lineOf("knn", ...inputs("other.safetensors"), "-k", "3", ...last);
}, 120_000);

describe("evaluate knn", () => {
  it("gives the numbers of knn, with a receipt and predictions that other programs read", {
    timeout: 180_000,
  }, async () => {
    const short = await run("knn", ...inputs(), "-k", "3", "--json");
    expect(knn.details.accuracy).toEqual(JSON.parse(short.out).knn);
    expect(knn.receipt).toMatchObject({ protocol: "knn", seed: 0, settings: { k: 3, pool: "cls" } });
    expect(Object.keys(knn.receipt.settings)).toEqual(expect.arrayContaining(publishedNames("knn")));
    expect(receiptSchema.parse(JSON.parse(await readFile(at("knn/receipt.json"), "utf8")))).toEqual(knn.receipt);
    const read = "import csv,json,sys\nrows=list(csv.DictReader(open(sys.argv[1])))\nprint(json.dumps(rows))";
    const rows: { label: string; prediction: string }[] = JSON.parse(
      (await python("python3", ["-c", read, at("knn.csv")])).stdout,
    );
    expect(rows).toHaveLength(16);
    const right = rows.filter(({ label, prediction }) => label === prediction).length;
    expect(right / 16).toBeCloseTo(knn.receipt.scores[0]?.value ?? Number.NaN, 12);
    const table = (await readFile(at("knn-confusion.csv"), "utf8"))
      .trim()
      .split("\n")
      .map((row) => row.split(","));
    expect(
      table
        .slice(1)
        .flatMap((row) => row.slice(1))
        .reduce((sum, cell) => sum + Number(cell), 0),
    ).toBe(16);
    expect(table.slice(1).reduce((sum, row, i) => sum + Number(row[i + 1]), 0)).toBe(right);
  });

  it("sets two encoders side by side with the standard error of the paired difference", {
    timeout: 180_000,
  }, async () => {
    const line = await lineOf("knn", ...inputs(), "-k", "3", "--block", "last", "--compare", at("other.safetensors"));
    const [difference] = line.compared?.differences ?? [];
    const [before, after] = [line.receipt.scores[0]?.value ?? 0, line.compared?.receipt.scores[0]?.value ?? 0];
    expect(difference).toMatchObject({ name: "accuracy", how: "paired" });
    expect(difference?.difference).toBeCloseTo(after - before, 12);
    expect(difference?.standardError).toBeGreaterThan(0);
    expect(otherLast.receipt.scores).toEqual(line.compared?.receipt.scores);
  });

  it("pairs every block, and warns once of test images that are the training images", {
    timeout: 180_000,
  }, async () => {
    const itself = ["-k", "3", "--compare", at("weights.safetensors")];
    const { out, err } = await evaluate("knn", ...inputs(), ...itself);
    const rows = out.split("\n").filter((row) => row.startsWith("accuracy"));
    expect(rows).toEqual([
      expect.stringMatching(/^accuracy\t(0\.\d+)\t\1\t\+0\.0000\t0\.0000$/),
      expect.stringMatching(/^accuracy, block 0\t(0\.\d+)\t\1\t\+0\.0000\t0\.0000$/),
    ]);
    const warning = "the test images are the training images";
    expect(err).not.toContain(warning);
    const same = ["--block", "last", "--test", at("images-idx3-ubyte")];
    expect((await evaluate("knn", ...inputs(), ...itself, ...same)).err.split(warning)).toHaveLength(2);
  });
});

describe("evaluate linear", () => {
  it.each([
    ["fresh views", []],
    ["cached features", ["--cache"]],
  ])("with %s gives the same bytes when it is killed three times", { timeout: 300_000 }, async (name, how) => {
    const given = ["evaluate", "linear", ...inputs(), ...short, ...how, "--out"];
    const straight = at(`${name}-straight`);
    expect((await run(...given, straight)).code).toBe(0);
    const killed = at(`${name}-killed`);
    for (const [i, moment] of [2, 7, 12].entries()) {
      const { child, ended } = i === 0 ? start(...given, killed) : start("evaluate", "linear", "--resume", killed);
      await waitForUpdates(child, killed, moment);
      child.kill("SIGKILL");
      await ended;
    }
    expect((await start("evaluate", "linear", "--resume", killed).ended).code).toBe(0);
    expect((await checkpoints(straight)).length).toBe(2);
    const files = async (out: string) =>
      Promise.all(
        ["head.safetensors", "receipt.json", ...(await checkpoints(out)).map((file) => `checkpoints/${file}`)].map(
          async (file) => [file, (await readFile(join(out, file))).toString("base64")],
        ),
      );
    expect(await files(killed)).toEqual(await files(straight));
  });

  it("chooses on held-out images by default, says so, and writes what is predicted", { timeout: 180_000 }, async () => {
    const line = await builtLineOf("linear", ...inputs(), ...short, "--cache", "--predictions", at("linear.parquet"));
    expect(line.receipt.selection).toMatchObject({ on: "held-out training images" });
    expect(line.receipt.selection.text).toMatch(/^head and epoch were chosen on 7 held-out training images/);
    expect(line.details).toMatchObject({ heads: 12, images: { train: 57, heldOut: 7, test: 16 } });
    expect(Object.keys(line.receipt.settings)).toEqual(expect.arrayContaining(publishedNames("linear")));
    expect(line.receipt.settings).toMatchObject({
      cache: true,
      batch: 16,
      epochs: 6,
      holdOut: 0.1,
      select: "held-out",
    });
    const { parquetReadObjects } = await import("hyparquet");
    const bytes = await readFile(at("linear.parquet"));
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const rows = await parquetReadObjects({ file: buffer });
    expect(rows).toHaveLength(16);
    const right = rows.filter(({ label, prediction }) => label === prediction).length;
    expect(right / 16).toBeCloseTo(line.receipt.scores[0]?.value ?? Number.NaN, 12);
    expect(rows.every(({ probability }) => probability >= 0.5 && probability <= 1)).toBe(true); // of two classes
  });

  it("chooses on the test images as published when it is asked to, and says what that means", {
    timeout: 180_000,
  }, async () => {
    const { out } = await evaluate("linear", ...inputs(), ...short, "--cache", "--select", "test");
    expect(out).toMatch(
      /chosen on the test images themselves, as published: the number is the largest of 12 heads × 6 epochs/,
    );
    expect(out).toMatch(/features were cached: one plain view of each image/);
    const rows = out.split("\n").map((row) => row.split("\t"));
    const [chosen, , largest] = rows.slice(1, 4);
    expect(chosen?.slice(1)).toEqual(largest?.slice(1));
  });

  it("compares two encoders, and both can be gone on with", { timeout: 180_000 }, async () => {
    const out = at("both");
    const options = [...short, "--cache", "--compare", at("other.safetensors"), "--out", out];
    const line = await lineOf("linear", ...inputs(), ...options);
    expect(line.compared?.receipt.encoder.weights).toBe(at("other.safetensors"));
    expect(await readdir(join(out, "compared"))).toEqual(expect.arrayContaining(["head.safetensors", "receipt.json"]));
    const again = await lineOf("linear", "--resume", out);
    expect(again.receipt).toEqual(line.receipt);
    expect(again.compared?.receipt).toEqual(line.compared?.receipt);
  });

  it("ends early when it is interrupted, and says how to go on", { timeout: 180_000 }, async () => {
    const out = at("interrupted");
    const { child, ended } = start("evaluate", "linear", ...inputs(), ...short, "--epochs", "2000", "--out", out);
    await waitForUpdates(child, out, 2);
    child.kill("SIGINT");
    const { code, err } = await ended;
    expect([code, err]).toEqual([
      130,
      expect.stringContaining(`go on with: mimrefine evaluate linear --resume ${out}`),
    ]);
  });

  it("does not go on with other weights, unless it is told to", { timeout: 180_000 }, async () => {
    const out = at("changed");
    const weights = at("changing.safetensors");
    await copyFile(at("weights.safetensors"), weights);
    await evaluate("linear", ...inputs("changing.safetensors"), ...short, "--cache", "--out", out);
    await copyFile(at("other.safetensors"), weights);
    const refused = await run("evaluate", "linear", "--resume", out);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("resume: the weights")]);
  });

  it("refuses what cannot be meant", { timeout: 180_000 }, async () => {
    const failing = async (...args: readonly string[]) => {
      const { code, err } = await run("evaluate", "linear", ...args);
      return `${code} ${err}`;
    };
    expect(await failing("--weights", at("weights.safetensors"))).toMatch(/^2 .*--weights and --images are needed/s);
    expect(await failing(...inputs(), "--preset", "large")).toMatch(/^2 .*choose from paper, small, inat/s);
    expect(await failing(...inputs(), "--epochs", "0")).toMatch(/^2 .*epochs is 0 \(--epochs, key epochs\)/s);
    expect(await failing(...inputs(), "--preset", "paper")).toMatch(/^1 .*less than one batch of 1024/s);
    expect(await failing(...inputs(), "--predictions", at("x.txt"))).toMatch(/^2 .*neither \.csv nor \.parquet/s);
    expect(await failing("--resume", at("nothing"))).toMatch(/^2 .*there is no run to resume/s);
  });
});

describe("evaluate transfer", () => {
  it("tells accuracies by the number of training images", { timeout: 180_000 }, async () => {
    const line = await builtLineOf("transfer", ...inputs(), ...short, "--cache");
    expect(line.receipt.settings).toMatchObject({ fit: "squash" });
    const [all, , ...groups] = line.receipt.scores;
    expect(groups.map(({ name }) => name)).toEqual(["accuracy, medium"]); // two classes of about 32 images
    expect(groups[0]?.value).toBe(all?.value);
  });
});

describe("evaluate compare", () => {
  it("sets receipts side by side, and refuses those of unequal protocols by name", { timeout: 180_000 }, async () => {
    await evaluate("knn", ...inputs("other.safetensors"), "-k", "3", "--out", at("other"));
    const html = at("comparison.html");
    const { out } = await evaluate("compare", at("knn"), at("other/receipt.json"), "--json", "--out", html);
    const text = await readFile(html, "utf8");
    for (const part of [
      "weights.safetensors",
      "other.safetensors",
      "nothing was chosen",
      "accuracy, block 0",
      "points",
    ])
      expect(text).toContain(part);
    expect((await run("evaluate", "compare", at("knn"), at("other"), "--out", html)).code).toBe(1);
    const { receipts, differences } = JSON.parse(out);
    expect(differences[0][0].difference).toBeCloseTo(receipts[1].scores[0].value - receipts[0].scores[0].value, 12);
    expect(differences[0][0].how).toBe("independent");
    const refused = await run("evaluate", "compare", at("knn"), at("other-last"));
    expect([refused.code, refused.err]).toEqual([
      2,
      expect.stringMatching(/settings\.block \("all" and "last"\) differ/),
    ]);
    const foreign = await run("evaluate", "compare", at("knn"), at("weights.safetensors"));
    expect([foreign.code, foreign.err]).toEqual([2, expect.stringContaining("is no receipt")]);
  });
});
