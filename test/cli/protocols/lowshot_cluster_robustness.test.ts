import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { type EvaluationLine, evaluationLineSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { publishedNames } from "../published_names.ts";
import { type CommandResult, run } from "../run_command.ts";
import { type Ended, smallFolder, start } from "../small_run.ts";

const at = await smallFolder();
const device = await testDevice();
const side = 12;

/** Pictures of three classes: bright in another third each, with some noise. */
function picture(label: number, seed: number, contrast = 1): Uint8Array {
  return Uint8Array.from({ length: side * side }, (_, i) => {
    const isOwn = Math.floor((i % side) / 4) === label;
    const noise = Math.imul(i + 1 + 144 * seed, 2654435761) >>> 24;
    return Math.round(contrast * ((isOwn ? 150 : 40) + noise / 4));
  });
}

async function writePictures(folder: string, count: number, from: number, contrast = 1): Promise<void> {
  for (let i = 0; i < count; i++) {
    for (const [label, name] of ["left", "middle", "right"].entries()) {
      const path = at(`${folder}/${name}/${name}-${from + i}.png`);
      await mkdir(dirname(path), { recursive: true });
      const raw = { width: side, height: side, channels: 1 } as const;
      await sharp(picture(label, 3 * (from + i) + label, contrast), { raw })
        .png()
        .toFile(path);
    }
  }
}

beforeAll(async () => {
  const vit = { patchPixels: 4, width: 24, blocks: 3, heads: 2, channels: 1, heightPixels: side, widthPixels: side };
  const model = randomEncoder(device, vitConfig(vit));
  await writeFileAtomic(at("encoder.safetensors"), (sink) => saveEncoder(sink, model));
  await writePictures("train", 8, 0);
  await writePictures("test", 6, 100);
  for (const severity of [1, 2]) await writePictures(`corrupted/contrast/${severity}`, 3, 200, 1 - 0.4 * severity);
  await writePictures("corrupted/fog/1", 3, 300, 0.9);
  await writeFile(at("one.txt"), "left-0.png\nmiddle-1.png\nright/right-2.png\n");
  await writeFile(at("wrong.txt"), "left-0.png\nleft-99.png\n");
});

const inputs = (...more: readonly string[]) => [
  ...["--weights", at("encoder.safetensors"), "--images", at("train"), "--workers", "0"],
  ...more,
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
  readonly accuracy: number;
  readonly converged: boolean;
}

describe("evaluate lowshot", () => {
  it("draws the published subsets, averages the splits, and proves the minimum", { timeout: 180_000 }, async () => {
    const fixed = ["lowshot", ...inputs("--test", at("test")), "--shots", "1,2"];
    const line = await builtLineOf(...fixed, "--out", at("lowshot"));
    const runs = line.details.runs as readonly Run[];
    expect(runs.map(({ shots, split, images }) => [shots, split, images])).toEqual(
      [1, 2].flatMap((shots) => ["1", "2", "3"].map((split) => [shots, split, 3 * shots])),
    );
    expect(runs.every(({ converged }) => converged)).toBe(true);
    const [one, two] = line.receipt.scores;
    expect(one?.value).toBeCloseTo(runs.slice(0, 3).reduce((sum, { accuracy }) => sum + accuracy, 0) / 3, 12);
    expect([one?.name, two?.name]).toEqual(["accuracy, 1 per class", "accuracy, 2 per class"]);
    expect(one?.value).toBeGreaterThan(0.5); // by chance a third
    expect(line.receipt).toMatchObject({
      protocol: "lowshot",
      settings: { block: 2, pool: "cls", penalty: 0.00025, splits: 3 },
    });
    expect(Object.keys(line.receipt.settings)).toEqual(
      expect.arrayContaining(publishedNames("lowshot", "logistic regression")),
    );
    expect(JSON.parse(await readFile(at("lowshot/receipt.json"), "utf8"))).toEqual(line.receipt);
    expect(await lineOf(...fixed)).toMatchObject({ receipt: line.receipt });
  });

  it("takes published lists, and writes the predictions of a single one", { timeout: 180_000 }, async () => {
    const lists = ["--subset", at("one.txt"), "--predictions", at("one.csv")];
    const line = await lineOf("lowshot", ...inputs("--test", at("test")), ...lists);
    expect(line.details.runs).toMatchObject([{ shots: 1, split: at("one.txt"), images: 3 }]);
    const rows = (await readFile(at("one.csv"), "utf8")).trim().split("\n").slice(1);
    expect(rows).toHaveLength(18);
    const right = rows.map((row) => row.split(",")).filter(([, label, prediction]) => label === prediction).length;
    expect(right / 18).toBeCloseTo(line.receipt.scores[0]?.value ?? Number.NaN, 12);
    // A receipt tells lists of one name apart by the images that they name.
    const [named] = line.receipt.settings.subset as readonly { list: string; images: string }[];
    expect(named).toEqual({ list: "one.txt", images: expect.stringMatching(/^[0-9a-f]{64}$/) });
    await mkdir(at("elsewhere"));
    const text = await readFile(at("one.txt"), "utf8");
    await writeFile(at("elsewhere/one.txt"), text.replace(/-\d+\.png/, "-7.png"));
    const other = await lineOf("lowshot", ...inputs("--test", at("test")), "--subset", at("elsewhere/one.txt"));
    const [renamed] = other.receipt.settings.subset as readonly { list: string; images: string }[];
    expect(renamed?.list).toBe("one.txt");
    expect(renamed?.images).not.toBe(named?.images);
  });

  it("refuses a list with a file that is missing, and predictions of several runs", { timeout: 180_000 }, async () => {
    const listed = await failure("lowshot", ...inputs("--test", at("test")), "--subset", at("wrong.txt"));
    expect(listed).toMatch(/left-99\.png is none of the images/);
    const several = await failure("lowshot", ...inputs(), "--predictions", at("several.csv"));
    expect(several).toMatch(/mean of 9 runs, whose predictions differ/);
  });

  it("says which classes have fewer images than shots", { timeout: 180_000 }, async () => {
    const given = [...inputs("--test", at("test")), "--shots", "9", "--splits", "1"];
    const { code, err } = await run("evaluate", "lowshot", ...given);
    expect(code).toBe(0);
    expect(err).toMatch(/3 classes have fewer than 9 training images and give all of them/);
  });
});

describe("evaluate cluster", () => {
  it("measures clusters of all images against their classes", { timeout: 180_000 }, async () => {
    const files = ["--assignments", at("clusters.csv")];
    const line = await builtLineOf("cluster", ...inputs(), "--restarts", "3", ...files);
    const names = line.receipt.scores.map(({ name }) => name);
    expect(names.slice(0, 5)).toEqual(["accuracy", "NMI", "AMI", "ARI", "silhouette, clusters"]);
    expect(names).toContain("Davies–Bouldin, classes");
    expect(line.details).toMatchObject({ clusters: 3, converged: true });
    // Nothing is trained on: all images are clustered, and each counts once.
    expect(line.receipt.train).toBeNull();
    expect(line.receipt.test.images).toBe(24);
    expect(line.details.restarts).toHaveLength(3);
    const rows = (await readFile(at("clusters.csv"), "utf8")).trim().split("\n");
    expect(rows).toHaveLength(25); // 24 images and the headings
    expect(new Set(rows.slice(1).map((row) => row.split(",")[1]))).toEqual(new Set(["0", "1", "2"]));
    const again = await lineOf("cluster", ...inputs(), "--restarts", "3");
    expect(again.receipt.scores).toEqual(line.receipt.scores);
  });

  it("compares two encoders on the test images image by image", { timeout: 180_000 }, async () => {
    const given = inputs("--test", at("test"), "--compare", at("encoder.safetensors"));
    const { code, out } = await run("evaluate", "cluster", ...given);
    expect(code).toBe(0);
    expect(out).toMatch(/accuracy\t(\S+)\t\1\t\+0\.0000\t0\.0000/);
  });

  it("needs a number for images without labels, and then prints the curve", { timeout: 180_000 }, async () => {
    const bare = ["--weights", at("encoder.safetensors"), "--images", at("corrupted/fog/1/left"), "--workers", "0"];
    expect(await failure("cluster", ...bare)).toMatch(/give --clusters, such as 2,5,10,20/);
    const line = await lineOf("cluster", ...bare, "--clusters", "1,2");
    expect(line.receipt.scores.map(({ name }) => name)).toEqual([
      "inertia, 1 clusters",
      "silhouette, 2 clusters",
      "inertia, 2 clusters",
    ]);
    expect(await failure("cluster", ...bare, "--clusters", "9")).toMatch(/9 clusters for 3 rows/);
  });
});

describe("evaluate robustness", () => {
  it("averages all corruptions and severities beside the clean images", { timeout: 180_000 }, async () => {
    const line = await builtLineOf("robustness", ...inputs("--test", at("test")), "--corrupted", at("corrupted"));
    const corrupted = line.details.corrupted as readonly { accuracy: number; corruption: string; severity: number }[];
    expect(corrupted.map(({ corruption, severity }) => [corruption, severity])).toEqual([
      ["contrast", 1],
      ["contrast", 2],
      ["fog", 1],
    ]);
    const [mean, clean] = line.receipt.scores;
    expect(mean).toMatchObject({ name: "accuracy, corrupted" });
    expect(mean?.value).toBeCloseTo(corrupted.reduce((sum, { accuracy }) => sum + accuracy, 0) / 3, 12);
    expect(clean?.name).toBe("accuracy");
    expect(clean?.value).toBeGreaterThan(0.5);
    // A receipt tells folders of one name apart by their images.
    const { settings } = line.receipt;
    expect(settings.corrupted).toEqual({ folders: 3, digest: expect.stringMatching(/^[0-9a-f]{64}$/) });
    await cp(at("corrupted"), at("fewer"), { recursive: true });
    const [first = ""] = (await readdir(at("fewer/fog/1"), { recursive: true })).filter((name) =>
      name.endsWith(".png"),
    );
    await rm(at(`fewer/fog/1/${first}`));
    const other = await lineOf("robustness", ...inputs("--test", at("test")), "--corrupted", at("fewer"));
    expect(other.receipt.settings.corrupted).not.toEqual(settings.corrupted);
  });

  it("chooses among the tested classes where it is asked to", { timeout: 180_000 }, async () => {
    await writePictures("some", 3, 400);
    await rm(at("some/middle"), { recursive: true });
    const files = ["--tested-classes", "--predictions", at("some.csv")];
    await lineOf("robustness", ...inputs("--test", at("some")), ...files);
    const predicted = (await readFile(at("some.csv"), "utf8"))
      .trim()
      .split("\n")
      .slice(1)
      .map((row) => row.split(",")[2]);
    expect(predicted).toHaveLength(6);
    expect(predicted).not.toContain("middle");
  });

  it("corrupts the test images itself, at five severities each", { timeout: 180_000 }, async () => {
    const files = ["--predictions", at("made.csv")];
    const line = await lineOf(
      "robustness",
      ...inputs("--test", at("test")),
      "--make",
      "contrast",
      "pixelate",
      ...files,
    );
    const made = line.details.corrupted as readonly { accuracy: number; corruption: string; severity: number }[];
    expect(made.map(({ corruption, severity }) => `${corruption} ${severity}`)).toEqual(
      ["contrast", "pixelate"].flatMap((name) => [1, 2, 3, 4, 5].map((severity) => `${name} ${severity}`)),
    );
    expect(line.receipt.settings.make).toBe("contrast,pixelate");
    const [mean] = line.receipt.scores;
    expect(mean).toMatchObject({ name: "accuracy, corrupted", images: 18 });
    const [head, ...rows] = (await readFile(at("made.csv"), "utf8")).trim().split("\n");
    expect(head).toBe("path,label,prediction,probability,right forms");
    const shares = rows.map((row) => Number(row.split(",").at(-1)));
    expect(shares.every((share) => Math.abs(10 * share - Math.round(10 * share)) < 1e-12)).toBe(true); // of ten forms
    expect(shares.reduce((sum, share) => sum + share, 0) / 18).toBeCloseTo(mean?.value ?? Number.NaN, 12);
    expect(await failure("robustness", ...inputs(), "--make", "snow")).toMatch(
      /--make snow is not known; choose all, or/,
    );
  });

  it("compares an encoder with itself score by score, pair by pair", { timeout: 180_000 }, async () => {
    const compared = ["--make", "fog", "--compare", at("encoder.safetensors")];
    const line = await lineOf("robustness", ...inputs("--test", at("test")), ...compared);
    const { scores } = line.receipt;
    expect(scores.map(({ name }) => name)).toEqual(expect.arrayContaining(["accuracy, corrupted", "accuracy"]));
    expect(line.compared?.differences).toEqual(
      scores.map(({ name }) => ({ name, difference: 0, standardError: 0, how: "paired" })),
    );
  });

  it("refuses a folder that is not laid out as ImageNet-C", { timeout: 180_000 }, async () => {
    expect(await failure("robustness", ...inputs(), "--corrupted", at("train"))).toMatch(
      /has no folders CORRUPTION\/SEVERITY/,
    );
  });
});
