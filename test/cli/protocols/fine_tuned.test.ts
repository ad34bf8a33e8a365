import { readdir, readFile, writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { type EvaluationLine, evaluationLineSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { pictureSide, writePictures } from "../class_pictures.ts";
import { publishedNames } from "../published_names.ts";
import { type CommandResult, run } from "../run_command.ts";
import { checkpoints, type Ended, smallFolder, start } from "../small_run.ts";

const at = await smallFolder();
const device = await testDevice();

beforeAll(async () => {
  const size = { channels: 1, heightPixels: pictureSide, widthPixels: pictureSide };
  const model = randomEncoder(device, vitConfig({ patchPixels: 4, width: 24, blocks: 2, heads: 2, ...size }));
  await writeFileAtomic(at("encoder.safetensors"), (sink) => saveEncoder(sink, model));
  await writePictures(at, "train", { count: 8, from: 0 });
  await writePictures(at, "test", { count: 6, from: 100 });
  await writeFile(at("quick.yaml"), "epochs: 3\nwarmup: 1\n");
  await writeFile(at("sized.yaml"), "epochs: 1\nwarmup: 0\npixels: 8\n");
  await writeFile(at("saved.yaml"), "epochs: 16\nwarmup: 1\ncheckpointMinutes: 0.0000000001\n");
  await writeFile(at("others.txt"), "left-4.png\nmiddle-5.png\nright-6.png\n");
  await writeFile(at("listed.txt"), "left-0.png\nmiddle-1.png\nright-2.png\nright-3.png\n");
}, 120_000);

const inputs = [
  "--weights",
  at("encoder.safetensors"),
  "--images",
  at("train"),
  "--test",
  at("test"),
  "--workers",
  "0",
];

function parsed({ code, out, err }: CommandResult | Ended): EvaluationLine {
  expect([code, err.includes("error:") ? err : ""]).toEqual([0, ""]);
  return evaluationLineSchema.parse(JSON.parse(out));
}

const lineOf = async (...args: readonly string[]) => parsed(await run("evaluate", ...args, "--json"));
/** By the built command. */
const builtLineOf = async (...args: readonly string[]) => parsed(await start("evaluate", ...args, "--json").ended);

async function failure(...args: readonly string[]): Promise<string> {
  const { code, err } = await run("evaluate", ...args);
  expect(code).not.toBe(0);
  return err;
}

interface Run {
  readonly shots: number;
  readonly split: string;
  readonly images: number;
  readonly batch: number;
  readonly updates: number;
  readonly accuracy: number;
}

describe("evaluate lowshot --finetune", () => {
  const quick = ["--finetune", "small", "--config", at("quick.yaml")];

  it("trains on each draw, averages the splits, and goes on after a kill with the same receipt", {
    timeout: 400_000,
  }, async () => {
    const options = ["--shots", "1,2", "--splits", "2", ...quick];
    const line = await builtLineOf("lowshot", ...inputs, ...options, "--out", at("straight"));
    const runs = line.details.runs as readonly Run[];
    expect(runs.map(({ shots, split, images, batch, updates }) => [shots, split, images, batch, updates])).toEqual([
      [1, "1", 3, 3, 3],
      [1, "2", 3, 3, 3],
      [2, "1", 6, 6, 3],
      [2, "2", 6, 6, 3],
    ]);
    const [one] = line.receipt.scores;
    expect(one?.value).toBeCloseTo(((runs[0]?.accuracy ?? 0) + (runs[1]?.accuracy ?? 0)) / 2, 12);
    expect(line.receipt.settings).toMatchObject({ classifier: "fine-tuning", recipe: "small", epochs: 3, batch: 64 });
    expect(Object.keys(line.receipt.settings)).toEqual(
      expect.arrayContaining(publishedNames("lowshot", "fine-tuning")),
    );
    expect(line.receipt.selection.text).toMatch(/each fine-tuning was tested once, after its last epoch/);

    const killed = at("killed");
    const { child, ended } = start("evaluate", "lowshot", ...inputs, ...options, "--out", killed);
    const lines = async () =>
      (await readFile(`${killed}/finetuned.jsonl`, "utf8").catch(() => "")).split("\n").length - 1;
    while (child.exitCode === null && (await lines()) < 1) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGKILL");
    await ended;
    const kept = await lines();
    expect(kept).toBeGreaterThan(0);
    const resumed = await builtLineOf("lowshot", "--resume", killed);
    expect(await lines()).toBe(4);
    expect(resumed.receipt).toEqual(line.receipt);
  });

  it("goes on inside a draw after a kill, and leaves the same bytes", { timeout: 400_000 }, async () => {
    const options = ["--shots", "2", "--splits", "2", "--finetune", "small", "--config", at("saved.yaml")];
    const [straight, killed] = [at("straight-inside"), at("killed-inside")];
    await lineOf("lowshot", ...inputs, ...options, "--out", straight);
    const { child, ended } = start("evaluate", "lowshot", ...inputs, ...options, "--out", killed);
    const working = `${killed}/working`;
    const reached = async (): Promise<boolean> => {
      const run = await readFile(`${working}/run.txt`, "utf8").catch(() => "");
      const newest = (await checkpoints(working)).at(-1) ?? "0";
      return run.startsWith("2 per class, 2 ") && Number.parseInt(newest, 10) >= 4;
    };
    while (child.exitCode === null && !(await reached())) await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill("SIGKILL");
    await ended;
    const begun = (await checkpoints(working)).at(-1);
    const { code, err } = await start("evaluate", "lowshot", "--resume", killed).ended;
    expect([code, err]).toEqual([0, expect.stringContaining(`resumed from checkpoints/${begun}`)]);
    for (const file of ["finetuned.jsonl", "receipt.json"])
      expect(await readFile(`${killed}/${file}`, "utf8"), file).toBe(await readFile(`${straight}/${file}`, "utf8"));
    const left = await Promise.all([working, `${working}/checkpoints`].map((folder) => readdir(folder)));
    expect(left.flat()).toEqual(["checkpoints"]);
  });

  it("takes lists, and writes the predictions of a single draw", { timeout: 200_000 }, async () => {
    const files = ["--subset", at("listed.txt"), "--predictions", at("one.csv")];
    const line = await lineOf("lowshot", ...inputs, ...files, ...quick, "--preset", "paper");
    expect(line.details.runs).toMatchObject([{ shots: 2, split: "listed.txt", images: 4, batch: 4 }]);
    const rows = (await readFile(at("one.csv"), "utf8")).trim().split("\n").slice(1);
    const right = rows.map((row) => row.split(",")).filter(([, label, prediction]) => label === prediction).length;
    expect(right / 18).toBeCloseTo(line.receipt.scores[0]?.value ?? Number.NaN, 12);
  });

  it("makes lists again that were fine-tuned with another seed", { timeout: 200_000 }, async () => {
    const out = at("seeded");
    await lineOf("lowshot", ...inputs, "--subset", at("listed.txt"), at("others.txt"), ...quick, "--out", out);
    const { code, err } = await run("evaluate", "lowshot", "--resume", out, "--seed", "9", "--override");
    expect([code, err]).toEqual([0, expect.stringContaining("2 draws had other images or settings")]);
  });

  it("tells the size of images that a settings file says, unless --image-size does", { timeout: 200_000 }, async () => {
    const given = ["--subset", at("listed.txt"), "--finetune", "small", "--config", at("sized.yaml")];
    const settingsOf = async (...more: readonly string[]) =>
      (await lineOf("lowshot", ...inputs, ...given, ...more)).receipt.settings;
    expect(await settingsOf()).toMatchObject({ imageSize: 8, pixels: 8 });
    expect(await settingsOf("--image-size", "16")).toMatchObject({ imageSize: 16, pixels: 16 });
  });

  it("refuses unknown recipes and what does not go with it", { timeout: 120_000 }, async () => {
    expect(await failure("lowshot", ...inputs, "--finetune", "big")).toMatch(/no recipe big; choose from paper, /);
    expect(await failure("lowshot", ...inputs, "--finetune", "--sensitivity")).toMatch(/--finetune has none; drop one/);
    expect(await failure("lowshot", ...inputs, "--config", at("quick.yaml"))).toMatch(/give --finetune with it/);
  });
});

describe("evaluate robustness --classifier", () => {
  beforeAll(async () => {
    // Mirroring and small crops would turn one class into another.
    const views = ["--flip", "0", "--area", "0.9,1"];
    const learned = ["--epochs", "60", "--learning-rate", "0.05", "--layer-decay", "1", "--test-every", "0"];
    for (const [name, more] of [
      ["short", ["--epochs", "2", "--warmup", "1"]],
      ["long", learned],
    ] as const) {
      const settings = ["--preset", "small", "--batch", "8", ...views, ...more, "--out", at(name)];
      const { code, err } = await run("finetune", ...inputs, ...settings);
      expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
      expect(err).toContain("preset small: mixup 0, cutmix 0, randAugment 0");
    }
  }, 300_000);
  const classifier = (name: string) => ["--classifier", at(`${name}/classifier.safetensors`), "--workers", "0"];

  it("judges what finetune wrote: its accuracy is that of predict, and corruptions are made of the test images", {
    timeout: 300_000,
  }, async () => {
    const predictions = ["--predictions", at("robust.csv"), "--confusion", at("robust-confusion.csv")];
    const given = [...classifier("long"), "--test", at("test"), "--make", "contrast", ...predictions];
    const line = await builtLineOf("robustness", ...given);
    const weights = at("long/classifier.safetensors");
    const { out } = await run("predict", at("test"), "--weights", weights, "--out", at("p.csv"), "--json");
    const accuracy = line.receipt.scores.find(({ name }) => name === "accuracy");
    expect(accuracy).toMatchObject({ value: JSON.parse(out).accuracy, images: 18 });
    expect(accuracy?.value).toBeGreaterThan(0.5); // by chance a third
    expect(line.receipt).toMatchObject({
      settings: { classifier: "fine-tuned", make: "contrast" },
      selection: { on: "nothing", text: expect.stringContaining("its own run tells") },
      encoder: { weights: at("long/classifier.safetensors") },
    });
    expect(line.details).toMatchObject({ classifier: { kind: "fine-tuned", classes: 3 } });
    expect(line.details.corrupted).toHaveLength(5);
    expect((await readFile(at("robust.csv"), "utf8")).trim().split("\n")).toHaveLength(19);
  });

  it("says that no training images have a part in it, in notice, receipt and page", { timeout: 200_000 }, async () => {
    const given = ["robustness", ...classifier("short"), "--test", at("test"), "--out", at("judged"), "--json"];
    const { code, out, err } = await start("evaluate", ...given).ended;
    expect([code, err]).toEqual([0, expect.stringMatching(/classifier\.safetensors: 18 test images in [\d.]+ s/)]);
    expect(err).not.toContain("training images");
    expect(err.split("18 images of 3 classes")).toHaveLength(2); // opened and told once
    expect(evaluationLineSchema.parse(JSON.parse(out)).receipt.train).toBeNull();
    expect(await readFile(`${at("judged")}/report.html`, "utf8")).not.toContain("training images");
  });

  it("compares two classifiers image by image", { timeout: 300_000 }, async () => {
    const other = at("long/classifier.safetensors");
    const line = await lineOf("robustness", ...classifier("short"), "--images", at("test"), "--compare", other);
    expect(line.receipt.test.images).toBe(18);
    const [difference] = line.compared?.differences ?? [];
    const [before, after] = [line.receipt.scores[0]?.value ?? 0, line.compared?.receipt.scores[0]?.value ?? 0];
    expect(difference).toMatchObject({ name: "accuracy", how: "paired" });
    expect(difference?.difference).toBeCloseTo(after - before, 12);
    expect(line.compared?.receipt.encoder.weights).toBe(other);
  });

  it("refuses weights beside it, lists for other classes, and the paper's preset without its parts", {
    timeout: 120_000,
  }, async () => {
    const given = [...classifier("short"), "--test", at("test")];
    const both = await failure("robustness", ...given, "--weights", at("encoder.safetensors"));
    expect(both).toMatch(/--classifier holds its own encoder; drop --weights/);
    const list = await failure("robustness", ...given, "--class-list", "imagenet-r");
    expect(list).toMatch(/for 200 classes of ImageNet's 1000, but the images have 3 and the classifier 3/);
    expect(await failure("robustness", ...inputs, "--class-list", "imagenet-a")).toMatch(/give --classifier/);
    expect(await failure("robustness", ...given, "--preset", "paper")).toMatch(/give --classifier and --corrupted/);
  });
});
