import { Option } from "commander";
import { vitPresets } from "../../models/index.ts";
import { type PublishedDataSet, workersSchema } from "../../refiner/index.ts";
import { block, positiveNumber, share, wholeNumber, workers } from "./parsers.ts";

/** What an option is in every command that takes it. */
interface SharedOption {
  /** Short and long name with the placeholder of its value. */
  readonly flags: string;
  readonly description: string;
  readonly parse?: (text: string) => unknown;
  readonly choices?: readonly string[];
}

/** Data sets that published figures are shown for, and what to do where none is named. */
export const dataSetOptions = ["auto", "imagenet", "inat18", "ade20k", "vtab1k", "none"] as const satisfies readonly (
  | PublishedDataSet
  | "auto"
  | "none"
)[];
export type DataSetOption = (typeof dataSetOptions)[number];

/**
 * Options that more than one command takes: one name, placeholder, parser and description each. The values of settings
 * (`refine`, `pretrain`) are checked by their schema instead, since they also come from files.
 */
const shared = {
  weights: { flags: "--weights <file>", description: "checkpoint with the encoder" },
  images: {
    flags: "--images <path>",
    description: "folder, IDX or CIFAR file, tar, CSV or JSON-lines list of images",
  },
  imageKey: {
    flags: "--image-key <ending>",
    description: "which picture of a WebDataset sample is the image where it has several, such as jpg or image.png",
  },
  test: { flags: "--test <path>", description: "labelled images to classify; default: every fifth of --images" },
  runFolder: { flags: "--out <folder>", description: "run folder" },
  outFile: { flags: "--out <file>", description: "file to write" },
  force: { flags: "--force", description: "replace files, or a run, that are there already" },
  resume: {
    flags: "--resume [run]",
    description: "go on with the run in this folder (default: --out); its files and settings are remembered",
  },
  override: {
    flags: "--override",
    description: "with --resume, force settings that differ from those of the run",
  },
  dryRun: { flags: "--dry-run", description: "print what a run would take, and end" },
  preset: { flags: "--preset <name>", description: "settings to begin with" },
  predictions: {
    flags: "--predictions <file>",
    description: "write what is predicted for every test image, to a .csv or .parquet file",
  },
  confusion: {
    flags: "--confusion <file>",
    description: "write how often each class was taken for each, to a .csv file",
  },
  sensitivity: {
    flags: "--sensitivity",
    description: "score the same features again with one setting changed at a time, and tell the spread",
  },
  dataSet: {
    flags: "--data-set <name>",
    description:
      "data set of the paper that the images are, whose published figures are shown beside the result: auto recognises it, none shows none",
    choices: dataSetOptions,
  },
  compare: { flags: "--compare <file>", description: "what to compare with" },
  model: { flags: "--model <size>", description: "size of the ViT", choices: Object.keys(vitPresets) },
  block: {
    flags: "--block <block>",
    description: "a block's number (first is 0) for its raw output, or last for the encoder's final output",
    parse: block,
  },
  pool: {
    flags: "--pool <how>",
    description: "cls takes the class token, avg the mean over patches",
    choices: ["cls", "avg"],
  },
  k: { flags: "-k, --k <number>", description: "number of nearest neighbours", parse: wholeNumber(1) },
  kTemperature: {
    flags: "--k-temperature <number>",
    description: "τ of a neighbour's weight exp(similarity/τ) in the k-NN vote",
    parse: positiveNumber,
  },
  penalty: {
    flags: "--penalty <number>",
    description: "λ of the penalty on a linear classifier's weights, times the number of training images",
    parse: positiveNumber,
  },
  batch: { flags: "--batch <images>", description: "images per batch", parse: wholeNumber(1, 65536) },
  shorterSide: {
    flags: "--shorter-side <pixels>",
    description: "shorter side before the centre crop",
    parse: wholeNumber(1, 8192),
  },
  imageSize: {
    flags: "--image-size <pixels>",
    description: "side that the model sees",
    parse: wholeNumber(1, 4096),
  },
  maxBad: { flags: "--max-bad <share>", description: "largest accepted share of broken images", parse: share },
  workers: { flags: "--workers <threads>", description: workersSchema.description ?? "", parse: workers },
  precision: {
    flags: "--precision <format>",
    description: "number format of activations; f16 takes about half of their memory and needs shader-f16",
    choices: ["f32", "f16"],
  },
  localViews: {
    flags: "--local-views <number>",
    description: "local views of each image",
    parse: wholeNumber(0),
  },
  attentionHeads: {
    flags: "--attention-heads <number>",
    description: "attention heads of the encoder",
    parse: wholeNumber(1),
  },
  decoderHeads: {
    flags: "--decoder-heads <number>",
    description: "attention heads of the decoder",
    parse: wholeNumber(1),
  },
} satisfies Readonly<Record<string, SharedOption>>;

export type SharedOptionName = keyof typeof shared;

export const sharedOptions: Readonly<Record<SharedOptionName, SharedOption>> = shared;

/** What only this command can say about an option. */
export interface OptionUse {
  /** Follows the description behind a semicolon. */
  readonly more?: string;
  /** Value where none is given. */
  readonly default?: unknown;
  readonly isRequired?: boolean;
}

/** An option that several commands take, for one of them. */
export function sharedOption(name: SharedOptionName, use: OptionUse = {}): Option {
  const { flags, description, parse, choices } = sharedOptions[name];
  const option = new Option(flags, use.more === undefined ? description : `${description}; ${use.more}`);
  if (choices) option.choices(choices);
  if (parse) option.argParser(parse);
  if (use.default !== undefined) option.default(use.default);
  return option.makeOptionMandatory(use.isRequired === true);
}
