import { Command } from "commander";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import { formatReport, loadClassifier, openEncoder } from "../../models/checkpoints/index.ts";
import type { Classifier } from "../../models/index.ts";
import type { ImageSource } from "../../refiner/data/index.ts";
import { type ClassPrediction, classifyImages } from "../../refiner/evaluation/index.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import { csvHeader, csvLines, jsonLine } from "../evaluation/prediction_lines.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { type ImageOptions, openCommandImages } from "../program/open_images.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { wholeNumber } from "../program/parsers.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { onDevices } from "../runs/recovery.ts";

type PredictionFormat = "csv" | "jsonl";

interface PredictCommandOptions extends CommonOptions, ImageOptions {
  readonly weights: string;
  readonly top: number;
  readonly jsonl: boolean;
  readonly out?: string;
  readonly batch: number;
  readonly workers: number | "auto";
  readonly maxBad: number;
  readonly force: boolean;
}

/** `mimrefine predict IMAGES` */
export function predictCommand(context: CommandContext): Command {
  const command = new Command("predict")
    .summary("say which classes images are of")
    .description(
      "Classifies every image by a classifier that finetune wrote: the most probable classes, with their probabilities. CSV (path, rank, class, probability: one line per class) or a JSON object per image and line; on stdout, or in a file. Images are resized and cropped as the tests of finetune do. Where they have labels of the classifier's classes, accuracy is told, too.",
    )
    .argument("<images>", "folder, IDX or CIFAR file, tar, CSV or JSON-lines list of images, or one image")
    .addOption(sharedOption("weights", { more: "a classifier.safetensors of finetune", isRequired: true }))
    .addOption(sharedOption("imageKey"))
    .option("--top <number>", "classes of each image, the most probable first", wholeNumber(1), 5)
    .option("--jsonl", "write a JSON object per image and line instead of CSV; default where --out ends so", false)
    .addOption(sharedOption("outFile", { more: ".csv or .jsonl; default: print" }))
    .addOption(
      sharedOption("batch", { more: "decoded together; changes speed and memory, not the result", default: 32 }),
    )
    .addOption(sharedOption("workers", { default: "auto" }))
    .addOption(sharedOption("maxBad", { default: 0.01 }))
    .addOption(sharedOption("force", { default: false }))
    .action((images: string, options: PredictCommandOptions) => predict(images, options, outputOf(context, options)));
  return finishCommand(
    command,
    "mimrefine predict photos/ --weights runs/x/classifier.safetensors --top 3\nmimrefine predict photos/ --weights runs/x/classifier.safetensors --out classes.jsonl",
  );
}

async function predict(images: string, options: PredictCommandOptions, output: Output): Promise<void> {
  const { weights, out, force } = options;
  const format = formatOf(options);
  if (options.json && out === undefined)
    throw new UsageError("predict: --json prints one line about the whole; give --out for the classes of each image");
  await checkTouchedPaths("predict", {
    reads: { "<images>": images, "--weights": weights },
    writes: { "--out": out },
    overwrite: force,
  });
  const channels = await channelsOfClassifier(weights);
  const decoding = { channels, workers: options.workers, imageKey: options.imageKey };
  const source = await openCommandImages(images, decoding, output);
  try {
    const shown = new Lines(output);
    await onDevices({ output, open: () => openCommandDevice(options, output) }, async (device) => {
      const { model, report } = await withCheckpoint(weights, (file) => loadClassifier(device, file, weights));
      for (const line of formatReport({ ...report, warnings: [] })) output.notice(line);
      for (const warning of report.warnings) output.warning(warning);
      const job = { model, source, options, format };
      const tally = out === undefined ? await classified(job, output, shown.again()) : await written(job, out, output);
      tell(tally, output, out);
    });
  } finally {
    await source.close?.();
  }
}

/** @throws UsageError for a file whose name says another format, or none */
function formatOf({ jsonl, out }: PredictCommandOptions): PredictionFormat {
  if (out === undefined) return jsonl ? "jsonl" : "csv";
  if (/\.(jsonl|ndjson)$/i.test(out)) return "jsonl";
  if (/\.csv$/i.test(out) && !jsonl) return "csv";
  const wanted = jsonl ? ".jsonl, which --jsonl asks for" : ".csv or .jsonl";
  throw new UsageError(`predict: ${out} does not end with ${wanted}; choose such a name`);
}

async function channelsOfClassifier(weights: string): Promise<1 | 3> {
  const { config } = await withCheckpoint(weights, (file) => openEncoder(file, {}, weights));
  return imageChannels(config, weights);
}

/** What is classified, and how. */
interface PredictJob {
  readonly model: Classifier;
  readonly source: ImageSource;
  readonly options: PredictCommandOptions;
  readonly format: PredictionFormat;
}

/** Counts of a finished prediction. */
interface Tally {
  images: number;
  /** Images whose class the source states, by a name that the classifier knows. */
  labelled: number;
  hits: number;
}

/** Lines that are printed once each, also where the work begins again on a new device. */
class Lines {
  #printed = 0;

  constructor(readonly output: Output) {}

  /** @returns takes all lines, from the first on */
  again(): (line: string) => Promise<void> {
    let given = 0;
    return async (line) => {
      if (given++ < this.#printed) return;
      this.#printed = given;
      this.output.line(line);
    };
  }
}

async function written(job: PredictJob, out: string, output: Output): Promise<Tally> {
  let tally: Tally = { images: 0, labelled: 0, hits: 0 };
  const encoder = new TextEncoder();
  await writeFileAtomic(
    out,
    async (sink) => {
      tally = await classified(job, output, (line) => sink.write(encoder.encode(`${line}\n`)));
    },
    { overwrite: job.options.force },
  );
  return tally;
}

async function classified(
  { model, source, options, format }: PredictJob,
  output: Output,
  write: (line: string) => Promise<void>,
): Promise<Tally> {
  const { top, batch, maxBad } = options;
  const progress = new Progress(output, source.length, "images");
  const tally: Tally = { images: 0, labelled: 0, hits: 0 };
  const onBroken = (error: Error): void => output.warning(error.message);
  try {
    if (format === "csv") await write(csvHeader);
    for await (const prediction of classifyImages(model, source, { top, batch, maxBad, onBroken })) {
      const lines = format === "csv" ? csvLines(prediction) : [jsonLine(prediction)];
      for (const line of lines) await write(line);
      count(tally, prediction, model, source);
      progress.update(tally.images);
    }
    return tally;
  } finally {
    progress.end();
  }
}

/** Classes are the same where their names are. */
function count(tally: Tally, { label, best }: ClassPrediction, { description }: Classifier, source: ImageSource): void {
  tally.images++;
  const name = label < 0 ? undefined : (source.classNames?.[label] ?? String(label));
  if (name === undefined || !description.classNames.includes(name)) return;
  tally.labelled++;
  if (best[0]?.className === name) tally.hits++;
}

function tell({ images, labelled, hits }: Tally, output: Output, out: string | undefined): void {
  const accuracy = labelled > 0 ? hits / labelled : undefined;
  if (out !== undefined) output.line(`${out}: classes of ${images} images`);
  if (accuracy !== undefined)
    output.notice(`top-1: ${(100 * accuracy).toFixed(2)} % of ${labelled} images whose class is known`);
  output.result({
    images,
    ...(out === undefined ? {} : { out }),
    ...(accuracy === undefined ? {} : { accuracy, labelled }),
  });
}
