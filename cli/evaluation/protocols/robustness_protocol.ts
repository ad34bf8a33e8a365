import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Option } from "commander";
import { loadClassifier } from "../../../models/checkpoints/index.ts";
import { type Corruption, corruptedImages, corruptions, isCorruption } from "../../../refiner/data/index.ts";
import { jpegCodec, openImages } from "../../../refiner/data/index_node.ts";
import {
  accuracyOf,
  type CorruptionAccuracy,
  corruptionMean,
  corruptionSeverities,
  defaultPooling,
  type FeatureBlock,
  lowShotPenalty,
  meanShare,
  type TestPredictions,
} from "../../../refiner/evaluation/index.ts";
import { imageChannels } from "../../checkpoints/image_channels.ts";
import { withCheckpoint } from "../../checkpoints/with_checkpoint.ts";
import type { Output } from "../../output/streams.ts";
import { openCommandImages } from "../../program/open_images.ts";
import { sharedOption } from "../../program/shared_options.ts";
import { UsageError } from "../../program/usage_error.ts";
import { fingerprintOf } from "../../runs/fingerprint.ts";
import { chosenBlock } from "../encoded_features.ts";
import type { JobDecoding, JobImages } from "../evaluation_job.ts";
import type { Score } from "../evaluation_line.ts";
import type { Protocol, ProtocolResult, ProtocolRun } from "../protocol.ts";
import { type FormPredictions, placedAs, rightFormsOf, told } from "../right_forms.ts";
import {
  ClassifierTester,
  classLists,
  LinearTester,
  type RobustnessTester,
  type TesterOptions,
} from "../robustness_testers.ts";
import { remarksOf } from "./robustness_remarks.ts";

interface RobustnessOptions extends TesterOptions {
  readonly corrupted?: string;
  readonly make?: readonly string[];
  readonly classifier?: string;
  readonly preset?: string;
}

interface Condition extends CorruptionAccuracy {
  readonly predictions: FormPredictions;
  /** Tells the images of a folder from others. */
  readonly digest?: object;
}

/** A folder of corrupted test images. */
interface CorruptedFolder {
  readonly corruption: string;
  readonly severity: number;
  readonly path: string;
}

/** `mimrefine evaluate robustness` */
export const robustnessProtocol: Protocol<RobustnessOptions> = {
  name: "robustness",
  summary: "accuracy on corrupted and unusual images",
  description:
    "Fits a linear classifier (logistic regression, to its minimum) on the frozen encoder's features of --images, and tests it on --test and on every folder CORRUPTION/SEVERITY/CLASS of --corrupted, as ImageNet-C is laid out: the number is the plain mean over these folders. --tested-classes lets it choose only among the classes that the test images have; --class-list does so by the published lists of ImageNet-A and ImageNet-R. --classifier judges a fine-tuned classifier instead, as the paper does: it needs neither --weights nor training images.",
  example:
    "mimrefine evaluate robustness --weights encoder.safetensors --images train/ --test val/ --corrupted imagenet-c/\nmimrefine evaluate robustness --weights encoder.safetensors --images train/ --test imagenet-r/ --tested-classes\nmimrefine evaluate robustness --classifier runs/y/classifier.safetensors --test val/ --corrupted imagenet-c/",
  isResumable: false,
  // The paper judges a fine-tuned classifier on the published images.
  presets: { paper: { testedClasses: false }, small: { make: ["all"], penalty: lowShotPenalty } },
  addOptions(command) {
    command
      .option("--corrupted <folder>", "folder of CORRUPTION/SEVERITY/CLASS with corrupted test images")
      .option(
        "--make <names...>",
        `corrupt the test images here, at five severities each: an approximation of ImageNet-C; all, or some of ${corruptions.join(", ")}`,
      )
      .option(
        "--classifier <file>",
        "a classifier.safetensors of finetune to judge, instead of a linear one on --weights",
      )
      .addOption(
        new Option(
          "--class-list <name>",
          "classes of the test images among ImageNet's 1000, counted along a published list",
        ).choices(Object.keys(classLists)),
      )
      .option("--tested-classes", "choose among the classes of the test images only", false)
      .addOption(sharedOption("penalty", { default: lowShotPenalty }))
      .addOption(sharedOption("block", { more: "default: the last block's raw output" }))
      .addOption(sharedOption("pool", { more: "default: cls where there is one" }));
  },
  touched: ({ corrupted }) => ({ reads: { "--corrupted": corrupted } }),
  complete: completed,
  async check({ corrupted, make, classList, testedClasses, classifier, preset }) {
    madeCorruptions(make);
    if (preset === "paper" && (classifier === undefined || corrupted === undefined || make !== undefined))
      throw new UsageError(
        "evaluate robustness: --preset paper is a fine-tuned classifier on the published images: give --classifier and --corrupted, and no --make",
      );
    if (preset === "small" && corrupted !== undefined)
      throw new UsageError(
        "evaluate robustness: --preset small makes its corruptions, and the number would be a mean over them and --corrupted; drop one",
      );
    if (classList !== undefined && classifier === undefined)
      throw new UsageError(
        "evaluate robustness: --class-list is for the 1000 classes of a classifier; give --classifier, or use --tested-classes",
      );
    if (classList !== undefined && testedClasses)
      throw new UsageError("evaluate robustness: --class-list and --tested-classes both choose classes; give one");
    if (corrupted !== undefined) await corruptedFolders(corrupted);
  },
  openImages: openedForClassifier,
  fits: ({ classifier }) => classifier === undefined,
  evaluate: evaluateRobustness,
};

/** A classifier is judged on test images alone: they stand for the training images, of which nothing is asked. */
async function openedForClassifier(
  { classifier, test }: RobustnessOptions,
  decoding: JobDecoding,
  open: { close?(): Promise<void> }[],
  output: Output,
): Promise<JobImages | undefined> {
  if (classifier === undefined || test === undefined) return undefined;
  const images = await openCommandImages(test, { ...decoding, split: "test" }, output);
  open.push(images);
  return { train: images, test: images };
}

/** A classifier brings its encoder, and needs no training images. @throws UsageError for both */
function completed(options: RobustnessOptions): RobustnessOptions {
  const { classifier, weights, images, test = images } = options;
  if (classifier === undefined) return options;
  if (weights !== undefined && weights !== classifier)
    throw new UsageError("evaluate robustness: --classifier holds its own encoder; drop --weights");
  return { ...options, weights: classifier, images: test ?? images, ...(test === undefined ? {} : { test }) };
}

async function evaluateRobustness(run: ProtocolRun, options: RobustnessOptions): Promise<ProtocolResult> {
  const block = chosenBlock("robustness", run, options);
  const { tester, test } =
    options.classifier === undefined ? await LinearTester.fit(run, options, block) : await fineTuned(run, options);
  try {
    const corrupted: Condition[] = [];
    for (const folder of options.corrupted === undefined ? [] : await corruptedFolders(options.corrupted))
      corrupted.push(await testFolder(run, options, tester, folder));
    for (const corruption of madeCorruptions(options.make)) {
      for (const severity of corruptionSeverities)
        corrupted.push(await testMade(run, options, tester, corruption, severity));
    }
    return resultOf(run, options, block, tester, corrupted, test);
  } finally {
    tester.destroy();
  }
}

/** The classifier in the file of weights: with `--compare`, this is the second one's in its turn. */
async function fineTuned(
  run: ProtocolRun,
  options: RobustnessOptions,
): Promise<{ readonly tester: RobustnessTester; readonly test: TestPredictions }> {
  const { weights } = options;
  const { model, report } = await withCheckpoint(weights, (file) => loadClassifier(run.device, file, weights));
  for (const warning of report.warnings) run.output.warning(warning);
  const tester = new ClassifierTester(run, model, options);
  return { tester, test: await tester.predict(run.test) };
}

/** The amounts of corruptions belong to images of the model's size, to which photographs are reduced first. */
async function testMade(
  run: ProtocolRun,
  options: RobustnessOptions,
  tester: RobustnessTester,
  corruption: Corruption,
  severity: number,
): Promise<Condition> {
  const { heightPixels, widthPixels } = run.model.config;
  const sidePixels = Math.round(((options.imageSize ?? Math.min(heightPixels, widthPixels)) * 256) / 224);
  const made = corruptedImages(run.test, { corruption, severity, seed: options.seed, jpeg: jpegCodec, sidePixels });
  const predictions = await tester.predict(made);
  return { corruption, severity, accuracy: accuracyOf(predictions).value, predictions };
}

/** With what tells the folder's images from others, for the receipt. */
async function testFolder(
  run: ProtocolRun,
  options: RobustnessOptions,
  tester: RobustnessTester,
  { corruption, severity, path }: CorruptedFolder,
): Promise<Condition> {
  const channels = imageChannels(run.model.config, options.weights);
  const source = await openImages(path, { channels, workers: options.workers, imageKey: options.imageKey });
  try {
    const { images: digest } = await fingerprintOf({ images: { path, source } });
    const predictions = placedAs(run.test, source, await tester.predict(source));
    return { corruption, severity, accuracy: accuracyOf(predictions).value, predictions, digest };
  } finally {
    await source.close?.();
  }
}

function sha256Of(values: readonly object[]): string {
  return createHash("sha256").update(JSON.stringify(values)).digest("hex");
}

/** @throws UsageError for a name that is not known */
function madeCorruptions(names: readonly string[] = []): readonly Corruption[] {
  if (names.includes("all")) return corruptions;
  return names.map((name) => {
    if (isCorruption(name)) return name;
    throw new UsageError(
      `evaluate robustness: --make ${name} is not known; choose all, or from ${corruptions.join(", ")}`,
    );
  });
}

/** All folders CORRUPTION/SEVERITY, sorted. @throws UsageError if there is none */
async function corruptedFolders(root: string): Promise<CorruptedFolder[]> {
  const folders: CorruptedFolder[] = [];
  for (const corruption of await folderNames(root)) {
    for (const severity of await folderNames(join(root, corruption)))
      if (/^\d+$/.test(severity))
        folders.push({ corruption, severity: Number(severity), path: join(root, corruption, severity) });
  }
  if (folders.length === 0)
    throw new UsageError(
      `evaluate robustness: ${root} has no folders CORRUPTION/SEVERITY, such as fog/3; lay it out as ImageNet-C is`,
    );
  return folders;
}

async function folderNames(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => name)
    .sort();
}

function resultOf(
  run: ProtocolRun,
  options: RobustnessOptions,
  block: FeatureBlock,
  tester: RobustnessTester,
  found: readonly Condition[],
  clean: TestPredictions,
): ProtocolResult {
  const { value, standardError, images } = accuracyOf(clean);
  const corrupted = found.map(({ corruption, severity, accuracy }) => ({ corruption, severity, accuracy }));
  const digests = found.flatMap(({ digest }) => (digest ? [digest] : []));
  const cleanScore: Score = { name: "accuracy", value, standardError, images };
  const mean = corrupted.length > 0 ? corruptionMean(corrupted) : undefined;
  const rightForms = rightFormsOf(
    clean,
    found.map((one) => one.predictions),
  );
  const error = rightForms && images > 1 ? meanShare(rightForms) : { standardError: null, images: null };
  const all: Score[] = mean ? [{ ...error, name: "accuracy, corrupted", value: mean.accuracy }] : [];
  const [main = cleanScore, ...others] = [...all, cleanScore];
  return {
    settings: {
      corrupted: options.corrupted === undefined ? null : { folders: digests.length, digest: sha256Of(digests) },
      make: options.make?.join(",") ?? null,
      testedClasses: options.testedClasses,
      classList: options.classList ?? null,
      ...(options.classifier === undefined
        ? { penalty: options.penalty, block, pool: options.pool ?? defaultPooling(run.model.config) }
        : { classifier: "fine-tuned" }),
      imageSize: options.imageSize ?? "its own",
    },
    selection: {
      on: "nothing",
      text:
        options.classifier === undefined
          ? "nothing was chosen: the classifier stands at its minimum"
          : "nothing was chosen here: the classifier is judged as it is; whether its training was stopped by these test images, its own run tells",
    },
    scores: [main, ...others],
    details: { classifier: tester.facts, corrupted, perCorruption: mean?.perCorruption ?? [] },
    remarks: [...tester.remarks, ...remarksOf(options, mean)],
    table: [
      ["images", "accuracy"],
      ["test", value.toFixed(4)],
      ...(mean?.perCorruption ?? []).map((one) => [one.corruption, one.accuracy.toFixed(4)]),
      ...(mean ? [["all corruptions", mean.accuracy.toFixed(4)]] : []),
    ],
    ...told(clean, { plain: cleanScore.name, forms: main.name }, rightForms),
  };
}
