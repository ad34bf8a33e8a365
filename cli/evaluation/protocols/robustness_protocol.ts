import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type Corruption,
  corruptedImages,
  corruptions,
  type ImageSource,
  isCorruption,
  withLabelsOf,
} from "../../../refiner/data/index.ts";
import { jpegCodec, openImages } from "../../../refiner/data/index_node.ts";
import {
  accuracyOf,
  type BlockFeatures,
  type CorruptionAccuracy,
  type CorruptionMean,
  centredUnitRows,
  corruptionMean,
  corruptionSeverities,
  defaultPooling,
  type FeatureBlock,
  fitLogisticRegression,
  type LogisticRegression,
  labelledImages,
  linearPredictions,
  lowShotPenalty,
} from "../../../refiner/evaluation/index.ts";
import { imageChannels } from "../../checkpoints/image_channels.ts";
import { sharedOption } from "../../program/shared_options.ts";
import { checkTouchedPaths } from "../../program/touched_paths.ts";
import { UsageError } from "../../program/usage_error.ts";
import { fingerprintOf } from "../../runs/fingerprint.ts";
import { type BlockOptions, chosenBlock, encodedFeatures, featureChoice } from "../encoded_features.ts";
import type { Score } from "../evaluation_line.ts";
import type { Protocol, ProtocolResult, ProtocolRun } from "../protocol.ts";

interface RobustnessOptions extends BlockOptions {
  readonly corrupted?: string;
  readonly make?: readonly string[];
  readonly testedClasses: boolean;
  readonly penalty: number;
}

/** A folder of corrupted test images. */
interface CorruptedFolder {
  readonly corruption: string;
  readonly severity: number;
  readonly path: string;
}

type Predictions = NonNullable<ProtocolResult["predictions"]>;

/** `mimrefine evaluate robustness` */
export const robustnessProtocol: Protocol<RobustnessOptions> = {
  name: "robustness",
  summary: "accuracy on corrupted and unusual images",
  description:
    "Fits a linear classifier (logistic regression, to its minimum) on the frozen encoder's features of --images, and tests it on --test and on every folder CORRUPTION/SEVERITY/CLASS of --corrupted, as ImageNet-C is laid out: the number is the plain mean over these folders. --tested-classes lets it choose only among the classes that the test images have, as ImageNet-A and ImageNet-R are judged.",
  example:
    "mimrefine evaluate robustness --weights encoder.safetensors --images train/ --test val/ --corrupted imagenet-c/\nmimrefine evaluate robustness --weights encoder.safetensors --images train/ --test imagenet-r/ --tested-classes",
  isResumable: false,
  addOptions(command) {
    command
      .option("--corrupted <folder>", "folder of CORRUPTION/SEVERITY/CLASS with corrupted test images")
      .option(
        "--make <names...>",
        `corrupt the test images here, at five severities each: an approximation of ImageNet-C; all, or some of ${corruptions.join(", ")}`,
      )
      .option("--tested-classes", "choose among the classes of the test images only", false)
      .addOption(sharedOption("penalty", { default: lowShotPenalty }))
      .addOption(sharedOption("block", { more: "default: the last block's raw output" }))
      .addOption(sharedOption("pool", { more: "default: cls where there is one" }));
  },
  async check({ corrupted, make }) {
    madeCorruptions(make);
    await checkTouchedPaths("evaluate robustness", { reads: { "--corrupted": corrupted } });
    if (corrupted !== undefined) await corruptedFolders(corrupted);
  },
  evaluate: evaluateRobustness,
};

async function evaluateRobustness(run: ProtocolRun, options: RobustnessOptions): Promise<ProtocolResult> {
  const block = chosenBlock("robustness", run, options);
  const labelled = labelledImages("robustness", run.train, run.test);
  for (const text of labelled.notices) run.output.notice(text);
  const [train, clean] = await encodedFeatures(
    run,
    [labelled.train, labelled.test],
    featureChoice(run, block, options),
    options,
  );
  if (!train || !clean) throw new RangeError("evaluate robustness: a set of images was not encoded");
  const tester = await LinearTester.fit(run, train, labelled.classNames, options, block);
  const test = await tester.predict(clean);
  const corrupted: (CorruptionAccuracy & { readonly digest?: object })[] = [];
  for (const folder of options.corrupted === undefined ? [] : await corruptedFolders(options.corrupted)) {
    corrupted.push(await tester.testFolder(folder, labelled.train));
  }
  for (const corruption of madeCorruptions(options.make)) {
    for (const severity of corruptionSeverities)
      corrupted.push(await tester.testMade(labelled.test, corruption, severity));
  }
  return resultOf(run, options, block, tester.classifier, corrupted, {
    ...test,
    indices: Uint32Array.from(clean.indices, (index) => labelled.testIndices[index] ?? 0),
  });
}

/** A linear classifier on an encoder, and what it says of images. */
class LinearTester {
  private constructor(
    readonly run: ProtocolRun,
    readonly options: RobustnessOptions,
    readonly block: FeatureBlock,
    readonly classNames: readonly string[],
    readonly classifier: LogisticRegression,
  ) {}

  static async fit(
    run: ProtocolRun,
    { features: [features], labels }: BlockFeatures,
    classNames: readonly string[],
    options: RobustnessOptions,
    block: FeatureBlock,
  ): Promise<LinearTester> {
    if (!features) throw new RangeError("evaluate robustness: no block was encoded");
    const classifier = await fitLogisticRegression(run.device, centredUnitRows(features), labels, {
      l2: options.penalty / features.rows,
      bias: "none",
      classes: classNames.length,
      signal: run.signal,
    });
    return new LinearTester(run, options, block, classNames, classifier);
  }

  async predict({ features: [features], labels, indices }: BlockFeatures): Promise<Predictions> {
    if (!features) throw new RangeError("evaluate robustness: no block was encoded");
    const { classifier, classNames, options } = this;
    const x = centredUnitRows(features);
    const classes = [...classNames.keys()];
    const allowed = options.testedClasses ? classes.filter((label) => labels.includes(label)) : classes;
    const { columns, data } = classifier.weight;
    const weight = new Float64Array(allowed.length * columns);
    for (const [place, label] of allowed.entries())
      weight.set(data.subarray(label * columns, (label + 1) * columns), place * columns);
    const among = { weight: { rows: allowed.length, columns, data: weight }, bias: new Float64Array(allowed.length) };
    const predicted = (await linearPredictions(this.run.device, among, x)).map((place) => allowed[place] ?? -1);
    return { indices, labels, predicted, classNames };
  }

  /** The amounts of corruptions belong to images of the model's size, to which photographs are reduced first. */
  async testMade(test: ImageSource, corruption: Corruption, severity: number): Promise<CorruptionAccuracy> {
    const { run, options, block } = this;
    const { heightPixels, widthPixels } = run.model.config;
    const sidePixels = Math.round(((options.imageSize ?? Math.min(heightPixels, widthPixels)) * 256) / 224);
    const made = corruptedImages(test, { corruption, severity, seed: options.seed, jpeg: jpegCodec, sidePixels });
    const [encoded] = await encodedFeatures(run, [made], featureChoice(run, block, options), options);
    if (!encoded) throw new RangeError(`evaluate robustness: no image of ${corruption} was encoded`);
    return { corruption, severity, accuracy: accuracyOf(await this.predict(encoded)).value };
  }

  /** With what tells the folder's images from others, for the receipt. */
  async testFolder(
    { corruption, severity, path }: CorruptedFolder,
    train: ImageSource,
  ): Promise<CorruptionAccuracy & { readonly digest: object }> {
    const { run, options, block } = this;
    const channels = imageChannels(run.model.config, options.weights);
    const source = await openImages(path, { channels, workers: options.workers, imageKey: options.imageKey });
    try {
      const named = { ...train, classNames: this.classNames };
      const test = labelledImages("robustness", named, withLabelsOf(source, named)).test;
      const [encoded] = await encodedFeatures(run, [test], featureChoice(run, block, options), options);
      if (!encoded) throw new RangeError(`evaluate robustness: the images of ${path} were not encoded`);
      const { images: digest } = await fingerprintOf({ images: { path, source } });
      return { corruption, severity, accuracy: accuracyOf(await this.predict(encoded)).value, digest };
    } finally {
      await source.close?.();
    }
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
  { objective, gap, converged }: LogisticRegression,
  found: readonly (CorruptionAccuracy & { readonly digest?: object })[],
  predictions: Predictions,
): ProtocolResult {
  const { value, standardError, images } = accuracyOf(predictions);
  const corrupted = found.map(({ corruption, severity, accuracy }) => ({ corruption, severity, accuracy }));
  const digests = found.flatMap(({ digest }) => (digest ? [digest] : []));
  const clean: Score = { name: "accuracy", value, standardError, images };
  const mean = corrupted.length > 0 ? corruptionMean(corrupted) : undefined;
  const all: Score[] = mean
    ? [{ name: "accuracy, corrupted", value: mean.accuracy, standardError: null, images: null }]
    : [];
  const [main = clean, ...others] = [...all, clean];
  return {
    settings: {
      corrupted: options.corrupted === undefined ? null : { folders: digests.length, digest: sha256Of(digests) },
      make: options.make?.join(",") ?? null,
      testedClasses: options.testedClasses,
      penalty: options.penalty,
      block,
      pool: options.pool ?? defaultPooling(run.model.config),
      imageSize: options.imageSize ?? "its own",
    },
    selection: { on: "nothing", text: "nothing was chosen: the classifier stands at its minimum" },
    scores: [main, ...others],
    details: { classifier: { objective, gap, converged }, corrupted, perCorruption: mean?.perCorruption ?? [] },
    remarks: remarksOf(options, mean),
    table: [
      ["images", "accuracy"],
      ["test", value.toFixed(4)],
      ...(mean?.perCorruption ?? []).map((one) => [one.corruption, one.accuracy.toFixed(4)]),
      ...(mean ? [["all corruptions", mean.accuracy.toFixed(4)]] : []),
    ],
    predictions,
  };
}

function remarksOf({ testedClasses, make }: RobustnessOptions, mean: CorruptionMean | undefined): string[] {
  return [
    "a linear classifier on the frozen encoder; the paper's numbers are those of a fully fine-tuned model",
    ...(mean && !mean.isComplete
      ? ["not all 19 corruptions of ImageNet-C at 5 severities are there: the mean is not comparable with its figure"]
      : []),
    ...(make ? ["corruptions were made here: an approximation of ImageNet-C, whose images are stored as JPEG"] : []),
    ...(testedClasses ? ["only the classes of the test images could be chosen"] : []),
  ];
}
