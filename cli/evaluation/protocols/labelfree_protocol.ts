import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { VisionTransformer } from "../../../models/index.ts";
import { occurringClasses } from "../../../refiner/data/index.ts";
import {
  defaultPooling,
  type LabelFreeScores,
  labelFreeScores,
  labelledImages,
} from "../../../refiner/evaluation/index.ts";
import { loadWeights } from "../../checkpoints/encoder_of_file.ts";
import { weightsFingerprint } from "../../checkpoints/weights_digest.ts";
import { numbered } from "../../output/knn_table.ts";
import { Progress } from "../../output/progress.ts";
import { wholeNumber } from "../../program/parsers.ts";
import { checkTouchedPaths } from "../../program/touched_paths.ts";
import { UsageError } from "../../program/usage_error.ts";
import { addKnnOptions, type EvaluationOptions, measureBlocks, voteOptions } from "../evaluation_job.ts";
import type { Score } from "../evaluation_line.ts";
import { type Candidate, choicesOf, choiceText, type LabelFreeChoice, measures } from "../label_free_choices.ts";
import type { Protocol, ProtocolOptions, ProtocolResult, ProtocolRun } from "../protocol.ts";

interface LabelFreeProtocolOptions extends ProtocolOptions, EvaluationOptions {
  readonly maxBad: number;
  readonly scoredImages: number;
  readonly views: number;
  readonly checkpoints?: readonly string[];
}

/** An encoder with what is known of it. */
interface Scored {
  readonly name: string;
  readonly found: LabelFreeScores;
  /** k-NN accuracy per block, where labels tell it. */
  readonly knn: readonly number[] | undefined;
}

/** `mimrefine evaluate labelfree` */
export const labelFreeProtocol: Protocol<LabelFreeProtocolOptions> = {
  name: "labelfree",
  summary: "scores that need no labels, and the block or checkpoint that they choose",
  description:
    "Encodes random views of some training images and prints RankMe, LiDAR and the agreement of neighbours between two views for every block; of all three, higher is better. The best block of each score is marked (*), and with --checkpoints also the best checkpoint by its final output (+). Labels have no part in the scores. With labelled images and --test, k-NN accuracy stands beside them: what each choice costs against the best one that labels would find. The last row is the encoder's final output.",
  example:
    "mimrefine evaluate labelfree --weights encoder.safetensors --images photos/\nmimrefine evaluate labelfree --weights encoder.safetensors --images train/ --test val/ --checkpoints runs/x",
  isResumable: false,
  addOptions(command) {
    command
      .option("--scored-images <number>", "images that are looked at, spread evenly", wholeNumber(2), 1000)
      .option("--views <number>", "random views of each of them", wholeNumber(2, 1000), 8)
      .option(
        "--checkpoints <paths...>",
        "further weights of the same training, or run folders, whose checkpoints are taken in order",
      );
    addKnnOptions(command);
  },
  async check({ predictions, confusion, checkpoints = [] }) {
    if (predictions !== undefined || confusion !== undefined)
      throw new UsageError("evaluate labelfree: no classes are predicted; drop --predictions and --confusion");
    for (const path of checkpoints) await checkTouchedPaths("evaluate labelfree", { reads: { "--checkpoints": path } });
    await checkpointFiles(checkpoints);
  },
  evaluate: evaluateLabelFree,
};

async function evaluateLabelFree(run: ProtocolRun, options: LabelFreeProtocolOptions): Promise<ProtocolResult> {
  // The checkpoints belong to the first encoder of a comparison.
  const files = run.isSecond ? [] : await checkpointFiles(options.checkpoints ?? []);
  const names = shownNames([options.weights, ...files]);
  const first = await scored(run, run.model, names[0] ?? "", options);
  const others: Scored[] = [];
  for (const [i, file] of files.entries()) {
    const model = await loadWeights(run.device, file, options);
    try {
      others.push(await scored(run, model, names[i + 1] ?? file, options));
    } finally {
      model.destroy();
    }
  }
  const all = [first, ...others];
  const choices = choicesOf(all.map(candidateOf));
  const digests = await Promise.all(files.map(async (file) => (await weightsFingerprint(file)).contents ?? ""));
  const [main, ...more] = scoresOf(first);
  return {
    settings: {
      scoredImages: options.scoredImages,
      views: options.views,
      ...(first.knn ? voteOptions(options) : {}),
      pool: options.pool ?? defaultPooling(run.model.config),
      imageSize: options.imageSize ?? "its own",
      checkpoints: digests,
    },
    selection: {
      on: "nothing",
      text: first.knn
        ? "labels had no part in what the scores choose; the block of the best k-NN accuracy beside them was chosen on the test images"
        : "labels had no part in what the scores choose",
    },
    scores: [main, ...more],
    details: {
      encoders: all.map(({ name, found, knn }) => ({ name, ...found, ...(knn ? { knn } : {}) })),
      choices,
    },
    remarks: choices.map(choiceText),
    table: tableOf(all, choices),
  };
}

async function scored(
  run: ProtocolRun,
  model: VisionTransformer,
  name: string,
  options: LabelFreeProtocolOptions,
): Promise<Scored> {
  const { device, output, signal, train } = run;
  const images = Math.min(options.scoredImages, train.length);
  const progress = new Progress(output, images, `images of ${name}, ${options.views} views each`);
  const found = await labelFreeScores(device, model, train, {
    images,
    views: options.views,
    seed: options.seed,
    batch: options.batch,
    maxBad: options.maxBad,
    ...(options.pool === undefined ? {} : { pooling: options.pool }),
    ...(options.imageSize === undefined ? {} : { imagePixels: options.imageSize }),
    signal,
    onBroken: (error) => output.warning(error.message),
    onProgress: (done) => progress.update(done),
  }).finally(() => progress.end());
  return { name, found, knn: await labelledAccuracies({ ...run, model }, options) };
}

/** k-NN accuracy of every block, where labels and test images are given. */
async function labelledAccuracies(
  run: ProtocolRun,
  options: LabelFreeProtocolOptions,
): Promise<readonly number[] | undefined> {
  const { train, test, output } = run;
  if (options.test === undefined || occurringClasses(train).size === 0 || occurringClasses(test).size === 0)
    return undefined;
  const labelled = labelledImages("k-NN", train, test);
  return (await measureBlocks({ ...run, train: labelled.train, test: labelled.test }, options, output)).accuracy;
}

/** The weights that paths name: files, and the checkpoints of run folders. @throws UsageError for a folder without any */
async function checkpointFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    if (!(await stat(path)).isDirectory()) {
      files.push(path);
      continue;
    }
    const folder = join(path, "checkpoints");
    const found = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".safetensors")).sort();
    if (found.length === 0)
      throw new UsageError(
        `evaluate labelfree: ${path} holds no checkpoints/*.safetensors; give a run folder or files of weights`,
      );
    files.push(...found.map((name) => join(folder, name)));
  }
  return files;
}

/** Names of files where these differ, else whole paths. */
function shownNames(files: readonly string[]): string[] {
  const short = files.map((file) => basename(file));
  return new Set(short).size === short.length ? short : files.map((file) => resolve(file));
}

function candidateOf({ name, found, knn }: Scored): Candidate {
  return { name, blocks: numbered(found.blocks), scores: found, knn };
}

/** The final output's first. */
function scoresOf({ found, knn }: Scored): [Score, ...Score[]] {
  const { blocks, images } = found;
  const score = (name: string, place: number, value: number | undefined, of: number | null): Score => ({
    name: blocks[place] === "last" ? name : `${name}, block ${blocks[place]}`,
    value: value ?? Number.NaN,
    standardError: null,
    images: of,
  });
  const places = [...blocks.keys()].reverse();
  const [main, ...others] = places.flatMap((place) => [
    ...measures.map(({ name, key }) => score(name, place, found[key][place], images)),
    ...(knn ? [score("k-NN accuracy", place, knn[place], null)] : []),
  ]);
  if (!main) throw new RangeError("evaluate labelfree: no block was measured");
  return [main, ...others];
}

/** A row per encoder and block, with what each score chooses. */
function tableOf(all: readonly Scored[], choices: readonly LabelFreeChoice[]): string[][] {
  const isSeveral = all.length > 1;
  const hasKnn = all.some(({ knn }) => knn !== undefined);
  const mark = (name: string, key: string, place: number, count: number): string => {
    const own = choices.filter(({ score }) => score === key);
    const isBlock = own.some((one) => one.among === "blocks" && one.encoder === name && one.place === place);
    const isCheckpoint = own.some((one) => one.among === "checkpoints" && one.encoder === name && place === count - 1);
    return `${isBlock ? " *" : ""}${isCheckpoint ? " +" : ""}`;
  };
  const rows = all.flatMap(({ name, found, knn }) =>
    numbered(found.blocks).map((block, place, { length }) => [
      ...(isSeveral ? [name] : []),
      String(block),
      ...measures.map((measure) => {
        const value = found[measure.key][place] ?? Number.NaN;
        return `${value.toFixed(measure.digits)}${mark(name, measure.name, place, length)}`;
      }),
      ...(hasKnn ? [knn?.[place]?.toFixed(4) ?? "-"] : []),
    ]),
  );
  const head = [...(isSeveral ? ["encoder"] : []), "block", ...measures.map(({ name }) => name)];
  return [[...head, ...(hasKnn ? ["k-NN"] : [])], ...rows];
}
