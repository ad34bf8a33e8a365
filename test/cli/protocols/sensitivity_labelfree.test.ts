import { mkdir, readFile } from "node:fs/promises";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { type EvaluationLine, evaluationLineSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { pictureSide, writePictures } from "../class_pictures.ts";
import { run } from "../run_command.ts";
import { smallFolder, start } from "../small_run.ts";

const at = await smallFolder();
const device = await testDevice();

/** Of the encoder. */
let knn: EvaluationLine;

beforeAll(async () => {
  const size = { channels: 1, heightPixels: pictureSide, widthPixels: pictureSide };
  for (const [name, width] of [
    ["encoder", 24],
    ["later", 32],
  ] as const) {
    const model = randomEncoder(device, vitConfig({ patchPixels: 4, width, blocks: 3, heads: 2, ...size }));
    await writeFileAtomic(at(`${name}.safetensors`), (sink) => saveEncoder(sink, model));
  }
  await writePictures(at, "train", { count: 8, from: 0 });
  await writePictures(at, "test", { count: 6, from: 100 });
  await mkdir(at("unlabelled"));
  for (let i = 0; i < 6; i++) await sharp(at(`train/left/left-${i}.png`)).toFile(at(`unlabelled/${i}.png`));
  knn = await lineOf("knn", ...tested("-k", "3"));
}, 120_000);

const inputs = (...more: readonly string[]) => [
  ...["--weights", at("encoder.safetensors"), "--images", at("train"), "--workers", "0"],
  ...more,
];
const tested = (...more: readonly string[]) => inputs("--test", at("test"), ...more);

async function textOf(...args: readonly string[]): Promise<string> {
  const { code, out, err } = await run("evaluate", ...args);
  expect([code, err.includes("error:") ? err : ""]).toEqual([0, ""]);
  return out;
}

async function lineOf(...args: readonly string[]): Promise<EvaluationLine> {
  return evaluationLineSchema.parse(JSON.parse(await textOf(...args, "--json")));
}

/** By the built command. */
async function builtLineOf(...args: readonly string[]): Promise<EvaluationLine> {
  const { code, out, err } = await start("evaluate", ...args, "--json").ended;
  expect([code, err.includes("error:") ? err : ""]).toEqual([0, ""]);
  return evaluationLineSchema.parse(JSON.parse(out));
}

async function failure(...args: readonly string[]): Promise<string> {
  const { code, err } = await run("evaluate", ...args);
  expect(code).not.toBe(0);
  return err;
}

describe("--sensitivity", () => {
  it("stands beside the unchanged number of knn, in text, line and receipt", { timeout: 300_000 }, async () => {
    const line = await builtLineOf("knn", ...tested("-k", "3"), "--sensitivity", "--out", at("knn"));
    const { sensitivity, ...receipt } = line.receipt;
    expect(sensitivity?.base).toBe(receipt.scores[0]?.value);
    expect(sensitivity?.variants.map(({ setting }) => setting)).toEqual([
      ...["k", "k", "k", "temperature", "temperature", "temperature", "scaling", "scaling"],
      ...["last norm", "pooling", "pooling", "blocks"],
    ]);
    expect(knn.receipt).toEqual(receipt);
    expect(JSON.parse(await readFile(at("knn/receipt.json"), "utf8"))).toEqual(line.receipt);
    const text = await textOf("knn", ...tested("-k", "3"), "--sensitivity");
    const shown = (value: number | undefined) => value?.toFixed(4);
    expect(text).toContain(
      `accuracy: ${shown(sensitivity?.base)}; with one setting changed ${shown(sensitivity?.smallest)} to ${shown(sensitivity?.largest)} (12 variants`,
    );
  });

  it.each([
    ["lowshot", ["--shots", "2", "--splits", "1"], 8],
    ["cluster", ["--restarts", "2"], 7],
    ["linear", ["--cache", "--epochs", "3", "--batch", "8", "--rates", "0.01,0.1"], 9],
  ])(
    "of %s starts from its number, and needs no second evaluation",
    { timeout: 300_000 },
    async (name, options, most) => {
      const given = name === "cluster" ? inputs(...options) : tested(...options);
      const line = await lineOf(name, ...given, "--sensitivity");
      const { sensitivity, ...receipt } = line.receipt;
      expect(sensitivity?.base).toBe(receipt.scores[0]?.value);
      expect(sensitivity?.variants.length).toBeGreaterThan(most - 2);
      expect(sensitivity?.variants.length).toBeLessThanOrEqual(most);
      expect((await lineOf(name, ...given)).receipt).toEqual(receipt);
    },
  );

  it("is refused where there is no number to compare", { timeout: 120_000 }, async () => {
    const several = await failure("cluster", ...inputs("--clusters", "2,3", "--sensitivity"));
    expect(several).toMatch(/--sensitivity is of one number of clusters/);
    const images = ["--weights", at("encoder.safetensors"), "--images", at("unlabelled"), "--workers", "0"];
    const unlabelled = await failure("cluster", ...images, "--clusters", "2", "--restarts", "1", "--sensitivity");
    expect(unlabelled).toMatch(/the images have no labels; drop it/);
  });
});

interface Choice {
  readonly score: string;
  readonly among: string;
  readonly encoder: string;
  readonly place: number;
  readonly labelled?: { readonly accuracy: number; readonly bestAccuracy: number; readonly points: number };
}
interface Encoder {
  readonly name: string;
  readonly rankMe: readonly number[];
  readonly lidar: readonly number[];
  readonly neighbourAgreement: readonly number[];
  readonly knn?: readonly number[];
}

describe("evaluate labelfree", () => {
  const few = ["--views", "3", "--batch", "5"];

  it("marks what each score chooses, and sets the labelled best beside it", { timeout: 300_000 }, async () => {
    const more = [...few, "-k", "3", "--checkpoints", at("later.safetensors")];
    const line = await builtLineOf("labelfree", ...tested(...more), "--out", at("free"));
    const encoders = line.details.encoders as readonly Encoder[];
    const choices = line.details.choices as readonly Choice[];
    expect(encoders.map(({ name }) => name)).toEqual(["encoder.safetensors", "later.safetensors"]);
    expect(encoders[0]?.knn).toEqual(knn.details.accuracy);
    const keys = { RankMe: "rankMe", LiDAR: "lidar", "neighbour agreement": "neighbourAgreement" } as const;
    expect(choices).toHaveLength(9); // three scores: the blocks of two encoders, and the encoders
    for (const [score, key] of Object.entries(keys)) {
      for (const encoder of encoders) {
        const chosen = choices.find(
          (one) => one.score === score && one.among === "blocks" && one.encoder === encoder.name,
        );
        expect(encoder[key][chosen?.place ?? -1]).toBe(Math.max(...encoder[key]));
        const best = Math.max(...(encoder.knn ?? []));
        expect(chosen?.labelled?.bestAccuracy).toBe(best);
        expect(chosen?.labelled?.points).toBeCloseTo(100 * (best - (encoder.knn?.[chosen?.place ?? -1] ?? 0)), 9);
      }
      const checkpoint = choices.find((one) => one.score === score && one.among === "checkpoints");
      const finals = encoders.map((one) => one[key].at(-1) ?? 0);
      expect(checkpoint?.encoder).toBe(encoders[finals.indexOf(Math.max(...finals))]?.name);
    }
    const { receipt } = line;
    expect(receipt.scores[0]).toMatchObject({ name: "RankMe", value: encoders[0]?.rankMe.at(-1), images: 24 });
    expect(receipt.settings.checkpoints).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(JSON.parse(await readFile(at("free/receipt.json"), "utf8"))).toEqual(receipt);
  });

  it("needs no labels, and compares encoders", { timeout: 300_000 }, async () => {
    const images = ["--weights", at("encoder.safetensors"), "--images", at("unlabelled"), "--workers", "0"];
    const text = await textOf("labelfree", ...images, ...few, "--compare", at("later.safetensors"));
    expect(text).toMatch(/^block\tRankMe\tLiDAR\tneighbour agreement\n/);
    expect(text).toContain("labels had no part in what the scores choose");
    expect(text.match(/LiDAR chooses block \d of (encoder|later)\.safetensors\n/g)).toHaveLength(2);
    const rows = text.split("\n").filter((row) => /^\d\t/.test(row));
    for (const column of [1, 2, 3])
      expect(rows.slice(0, 3).filter((row) => row.split("\t")[column]?.endsWith("*"))).toHaveLength(1);
    expect(text).toMatch(/\nRankMe\t\d+\.\d{4}\t\d+\.\d{4}\t[+-]\d/);
  });

  it("refuses a folder without checkpoints, and files of classes", { timeout: 120_000 }, async () => {
    const none = await failure("labelfree", ...inputs("--checkpoints", at("train")));
    expect(none).toMatch(/train holds no checkpoints\/\*\.safetensors/);
    const classes = await failure("labelfree", ...inputs("--confusion", at("confusion.csv")));
    expect(classes).toMatch(/no classes are predicted/);
  });
});

describe("--preset", () => {
  it("sets what the command line does not, prints it, and stands in the receipt", { timeout: 300_000 }, async () => {
    const line = await lineOf("knn", ...tested("--preset", "paper", "--k-temperature", "0.1"));
    expect(line.receipt).toMatchObject({
      preset: { name: "paper", sets: { k: 10, kTemperature: 0.07, standardise: true } },
      settings: { k: 10, temperature: 0.1 },
    });
    const { err } = await run("evaluate", "lowshot", ...tested("--preset", "small", "--shots", "1", "--splits", "1"));
    expect(err).toContain("preset small: shots 1 (preset: 1/2/5), splits 1 (preset: 10), penalty 0.00025");
    const probe = await lineOf("linear", ...tested("--cache", "--epochs", "2", "--rates", "0.1"));
    expect(probe.receipt.preset).toEqual({ name: "small", sets: { batch: 2, epochs: 50 } });
    expect(await failure("cluster", ...inputs("--preset", "big"))).toMatch(/no preset big; choose from paper, small/);
  });
});
