import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type ImageSource, subset } from "../../../refiner/data/index.ts";
import { placesOfTest } from "../../../refiner/evaluation/core/labelled_images.ts";
import {
  type BlockFeatures,
  defaultPooling,
  type FeatureChoice,
  fewShotSubset,
  type LowShotRun,
  type LowShotSubset,
  type LowShotSummary,
  labelledImages,
  lowShotOfSubsets,
  lowShotPenalty,
  lowShotSensitivity,
  rightShares,
  rowsOfList,
  type Sensitivity,
} from "../../../refiner/evaluation/index.ts";
import { finetunePresets } from "../../../refiner/index.ts";
import { Progress } from "../../output/progress.ts";
import { numberList, wholeNumber } from "../../program/parsers.ts";
import { sharedOption } from "../../program/shared_options.ts";
import { UsageError } from "../../program/usage_error.ts";
import { fileDigest } from "../../runs/fingerprint.ts";
import {
  type BlockOptions,
  chosenBlock,
  encodedFeatures,
  encodingFor,
  featureChoice,
  narrowed,
} from "../encoded_features.ts";
import type { Score } from "../evaluation_line.ts";
import { checkFineTuning, defaultRecipe, fineTunedShots } from "../fine_tuned_shots.ts";
import type { Protocol, ProtocolResult, ProtocolRun } from "../protocol.ts";
import { labelShareHints, lowShotScore } from "../published_part.ts";
import { withVariantProgress } from "../sensitivity_table.ts";

interface LowShotOptions extends BlockOptions {
  readonly shots: readonly number[];
  readonly splits: number;
  readonly subset?: readonly string[];
  readonly penalty: number;
  /** A recipe, or true for the default one. */
  readonly finetune?: string | boolean;
  readonly preset?: string;
  readonly config?: string;
}

/** `mimrefine evaluate lowshot` */
export const lowShotProtocol: Protocol<LowShotOptions> = {
  name: "lowshot",
  summary: "logistic regression on few labelled images per class",
  description:
    "Draws a few training images per class (1, 2 and 5, three times each, by the published generator: split s has the seed --seed + s), fits logistic regression without intercept to its exact minimum on their features, and tests on all test images. Nothing is chosen. --subset takes published lists of files instead. Only the drawn images are encoded. --finetune trains the whole encoder on each draw instead, and tests after the last epoch.",
  example:
    "mimrefine evaluate lowshot --weights encoder.safetensors --images train/ --test val/\nmimrefine evaluate lowshot --weights encoder.safetensors --images train/ --test val/ --subset 1imgs_class1.txt 1imgs_class2.txt\nmimrefine evaluate lowshot --weights encoder.safetensors --images train/ --test val/ --subset 1percent.txt --finetune paper_1percent --out runs/x",
  isResumable: true,
  // More draws for small sets: they cost little there, and differ more.
  presets: {
    paper: { shots: [1, 2, 5], splits: 3, penalty: lowShotPenalty },
    small: { shots: [1, 2, 5], splits: 10, penalty: lowShotPenalty },
  },
  addOptions(command) {
    command
      .option("--shots <numbers>", "images per class, a list such as 1,2,5", numberList, [1, 2, 5])
      .option("--splits <number>", "draws of each, whose mean is reported", wholeNumber(1, 1000), 3)
      .option("--subset <files...>", "lists of the training images to take, one file name per line, instead of draws")
      .addOption(sharedOption("penalty", { default: lowShotPenalty }))
      .addOption(sharedOption("block", { more: "default: the last block's raw output" }))
      .addOption(sharedOption("pool", { more: "default: cls where there is one" }))
      .addOption(sharedOption("sensitivity", { more: "on the first draw", default: false }))
      .option(
        "--finetune [recipe]",
        `fine-tune on each draw: ${finetunePresets.join(", ")} (default: ${defaultRecipe("paper")} with --preset paper, else ${defaultRecipe(undefined)})`,
      )
      .option("--config <file>", "settings in a YAML file; those of finetune, with --finetune");
  },
  touched: ({ subset: lists = [] }) => ({
    reads: Object.fromEntries(lists.map((file, i) => [`list ${i + 1} of --subset`, file])),
  }),
  async digests(_, { subset: lists = [] }) {
    const digests = await Promise.all(lists.map(fileDigest));
    return Object.fromEntries(
      lists.map((file, i) => [`list ${i + 1} of --subset (${basename(file)})`, digests[i] ?? ""]),
    );
  },
  async check(options) {
    checkFineTuning(options);
    const runs = options.subset?.length ?? options.shots.length * options.splits;
    if (runs > 1 && (options.predictions !== undefined || options.confusion !== undefined))
      throw new UsageError(
        `evaluate lowshot: the number is a mean of ${runs} runs, whose predictions differ; choose one of them for --predictions and --confusion, such as --shots 1 --splits 1`,
      );
  },
  evaluate: evaluateLowShot,
};

async function evaluateLowShot(run: ProtocolRun, options: LowShotOptions): Promise<ProtocolResult | undefined> {
  const block = chosenBlock("lowshot", run, options);
  const labelled = labelledImages("low-shot", run.train, run.test);
  for (const text of labelled.notices) run.output.notice(text);
  const drawn = await subsetsOf(run, labelled.train, options);
  if (options.finetune) {
    const lists = options.subset ? { subset: drawn.map(listed) } : { shots: options.shots, splits: options.splits };
    return fineTunedShots(run, labelled, drawn, lists, options);
  }
  // Rows of the subsets among those images that are in any of them: the others are not encoded.
  const used = Uint32Array.from(new Set(drawn.flatMap(({ rows }) => Array.from(rows)))).sort();
  const choice = featureChoice(run, block, options);
  const sources = [subset(labelled.train, used), labelled.test];
  const encoded = await encodedFeatures(run, sources, encodingFor(run, choice, options), options);
  const [train, test] = encoded;
  if (!train || !test) throw new RangeError("evaluate lowshot: a set of images was not encoded");
  const subsets = rowsAmong(drawn, used, train);
  const own = (all: BlockFeatures) => (options.sensitivity ? narrowed(all, [block], choice, run) : all);
  const found = await fitted(run, own(train), own(test), subsets, options);
  const lists = options.subset && drawn.map(listed);
  const result = resultOf(run, { ...options, lists }, block, found, {
    indices: placesOfTest(labelled, test.indices),
    labels: test.labels,
    classNames: labelled.classNames,
  });
  return { ...result, sensitivity: await sensitivityOf(run, { train, test }, choice, subsets[0], options) };
}

/** Of one draw: a regression for each variant. */
async function sensitivityOf(
  { device, model, output, signal }: ProtocolRun,
  encoded: { readonly train: BlockFeatures; readonly test: BlockFeatures },
  choice: FeatureChoice,
  drawn: LowShotSubset | undefined,
  { sensitivity, penalty }: LowShotOptions,
): Promise<Sensitivity | undefined> {
  if (!sensitivity || !drawn) return undefined;
  const named = { ...drawn, split: basename(drawn.split) };
  return withVariantProgress(output, (onRun) =>
    lowShotSensitivity(device, model.config, encoded, choice, named, { penalty, signal, onRun }),
  );
}

/** What a list stands for in a receipt: a file of the same name may hold other images. */
function listed({ split, rows }: LowShotSubset): { readonly list: string; readonly images: string } {
  const places = Uint32Array.from(rows).sort();
  return { list: basename(split), images: createHash("sha256").update(new Uint8Array(places.buffer)).digest("hex") };
}

/** Images of each run, by their places in the training images. */
async function subsetsOf(run: ProtocolRun, train: ImageSource, options: LowShotOptions): Promise<LowShotSubset[]> {
  if (options.subset) return Promise.all(options.subset.map((file) => listedSubset(train, file)));
  const subsets: LowShotSubset[] = [];
  for (const shots of options.shots) {
    for (let split = 1; split <= options.splits; split++) {
      const { indices, short } = fewShotSubset(train, shots, options.seed + split);
      if (split === 1 && short.length > 0)
        run.output.notice(`${short.length} classes have fewer than ${shots} training images and give all of them`);
      subsets.push({ shots, split: String(split), rows: indices });
    }
  }
  return subsets;
}

async function listedSubset(train: ImageSource, file: string): Promise<LowShotSubset> {
  const rows = rowsOfList(train, await readFile(file, "utf8"), file);
  const counts = new Map<number, number>();
  for (const row of rows) counts.set(train.label(row) ?? -1, (counts.get(train.label(row) ?? -1) ?? 0) + 1);
  return { shots: [...counts.values()].reduce((most, count) => Math.max(most, count), 0), split: file, rows };
}

/** The subsets in rows of the features; broken images are in none. */
function rowsAmong(subsets: readonly LowShotSubset[], used: Uint32Array, { indices }: BlockFeatures): LowShotSubset[] {
  const rowOf = new Map(Array.from(indices, (index, row) => [used[index] ?? -1, row]));
  return subsets.map((one) => ({
    ...one,
    rows: Array.from(one.rows, (place) => rowOf.get(place) ?? -1).filter((row) => row >= 0),
  }));
}

async function fitted(
  { device, output, signal }: ProtocolRun,
  train: BlockFeatures,
  test: BlockFeatures,
  subsets: readonly LowShotSubset[],
  { penalty }: LowShotOptions,
) {
  const [trainFeatures, testFeatures] = [train.features[0], test.features[0]];
  if (!trainFeatures || !testFeatures) throw new RangeError("evaluate lowshot: no block was encoded");
  const progress = new Progress(output, subsets.length, "regressions");
  let done = 0;
  try {
    return await lowShotOfSubsets(
      device,
      { features: trainFeatures, labels: train.labels },
      { features: testFeatures, labels: test.labels },
      subsets,
      { penalty, signal, onRun: () => progress.update(++done) },
    );
  } finally {
    progress.end();
  }
}

function resultOf(
  run: ProtocolRun,
  options: LowShotOptions & { readonly lists: readonly object[] | undefined },
  block: number | "last",
  { runs, summary }: { readonly runs: readonly LowShotRun[]; readonly summary: readonly LowShotSummary[] },
  test: Omit<NonNullable<ProtocolResult["predictions"]>, "predicted">,
): ProtocolResult {
  const images = test.labels.length;
  const [main, ...others] = summary.map(({ shots, mean }): Score => {
    const standardError = Math.sqrt((mean * (1 - mean)) / images);
    return { name: lowShotScore(shots), value: mean, standardError, images };
  });
  if (!main) throw new UsageError("evaluate lowshot: there is nothing to fit; give --shots or --subset");
  const [only] = runs;
  return {
    settings: {
      ...(options.lists ? { subset: options.lists } : { shots: options.shots, splits: options.splits }),
      penalty: options.penalty,
      block,
      pool: options.pool ?? defaultPooling(run.model.config),
      imageSize: options.imageSize ?? "its own",
    },
    selection: {
      on: "nothing",
      text: `nothing was chosen: the penalty is ${options.penalty} / images, and each regression stands at its minimum`,
    },
    scores: [main, ...others],
    parts: { kind: "shares", shares: sharesOf(summary, runs, test.labels) },
    details: { summary, runs: runs.map(shownRun) },
    published: labelShareHints(runs.map(({ shots, trainingRows }) => ({ shots, images: trainingRows }))),
    remarks: remarksOf(runs),
    table: [
      ["images per class", "splits", "accuracy", "deviation"],
      ...summary.map(({ shots, splits, mean, deviation }) => [
        String(shots),
        String(splits),
        mean.toFixed(4),
        splits > 1 ? deviation.toFixed(4) : "-",
      ]),
    ],
    ...(only && runs.length === 1 ? { predictions: { ...test, predicted: only.predicted } } : {}),
  };
}

/** Of every test image the share of the draws that are right, by the score that is their mean. */
function sharesOf(
  summary: readonly LowShotSummary[],
  runs: readonly LowShotRun[],
  labels: ArrayLike<number>,
): ReadonlyMap<string, Float64Array> {
  return new Map(
    summary.map(({ shots }) => {
      const own = runs.filter((run) => run.shots === shots).map(({ predicted }) => predicted);
      return [lowShotScore(shots), rightShares(labels, own)];
    }),
  );
}

function shownRun({ shots, split, trainingRows, accuracy, classes, regression }: LowShotRun) {
  const { objective, gap, gradientNorm, checkedIn, iterations, evaluations, converged } = regression;
  const proof = { objective, gap, gradientNorm, checkedIn, iterations, evaluations, converged };
  return { shots, split, images: trainingRows, classes: classes.length, accuracy, ...proof };
}

function remarksOf(runs: readonly LowShotRun[]): string[] {
  const gaps = runs.map(({ regression }) => regression.gap / regression.objective);
  const left = runs.filter(({ regression }) => !regression.converged).length;
  const proof = `objectives are at most ${Math.max(...gaps).toExponential(1)} of their value above the minimum (duality gap)`;
  return left === 0
    ? [proof]
    : [`${left} of ${runs.length} regressions did not reach their minimum: ${proof}; their numbers may move`];
}
