import { basename } from "node:path";
import { type ImageSource, subset } from "../../refiner/data/index.ts";
import { placesOfTest } from "../../refiner/evaluation/core/labelled_images.ts";
import {
  type ClassifierPredictions,
  classifierPredictions,
  type LabelledImages,
  type LowShotSubset,
  lowShotSummary,
  type TestPredictions,
} from "../../refiner/evaluation/index.ts";
import {
  type FinetuneConfig,
  finetune,
  finetuneConfig,
  finetunePreset,
  finetunePresets,
  finetuneSchema,
} from "../../refiner/index.ts";
import { WorkingStore } from "../../refiner/training/working_store.ts";
import { Progress } from "../output/progress.ts";
import { checkedSettings, readSettings } from "../program/settings.ts";
import { UsageError } from "../program/usage_error.ts";
import { drawDigest, FinishedShots, type ShotRun } from "../runs/finished_shots.ts";
import type { Score } from "./evaluation_line.ts";
import type { ProtocolOptions, ProtocolResult, ProtocolRun } from "./protocol.ts";
import { labelShareHints, lowShotScore } from "./published_part.ts";

interface FineTuningOptions extends ProtocolOptions {
  readonly finetune?: string | boolean;
  readonly preset?: string;
  readonly config?: string;
  readonly sensitivity?: boolean;
}

/** Epochs: checkpoints are written by the minute, since few-shot epochs are short. */
const never = 1e9;

/** The recipe where none is named. */
export function defaultRecipe(preset: string | undefined): string {
  return preset === "paper" ? "paper_lowshot" : "small";
}

function recipeOf({ finetune, preset }: FineTuningOptions): string {
  return typeof finetune === "string" ? finetune : defaultRecipe(preset);
}

/** @throws UsageError for an unknown recipe, or options that go with the other classifier */
export function checkFineTuning({ finetune: recipe, config, sensitivity }: FineTuningOptions): void {
  if (!recipe) {
    if (config !== undefined)
      throw new UsageError("evaluate lowshot: --config holds settings of fine-tuning; give --finetune with it");
    return;
  }
  if (typeof recipe === "string" && !finetunePresets.includes(recipe))
    throw new UsageError(`evaluate lowshot: there is no recipe ${recipe}; choose from ${finetunePresets.join(", ")}`);
  if (sensitivity)
    throw new UsageError("evaluate lowshot: --sensitivity scores cached features, but --finetune has none; drop one");
}

/**
 * Fine-tunes the whole encoder on each draw and tests it after the last epoch.
 *
 * @param lists - what the receipt says of the draws
 * @returns undefined if it was interrupted; finished draws and the newest checkpoint of the present one are kept
 */
export async function fineTunedShots(
  run: ProtocolRun,
  labelled: LabelledImages,
  draws: readonly LowShotSubset[],
  lists: Readonly<Record<string, unknown>>,
  options: FineTuningOptions,
): Promise<ProtocolResult | undefined> {
  const recipe = recipeOf(options);
  const config = await recipeConfig(run, recipe, options);
  const found = await runsOf(run, labelled, draws, config);
  if (!found) return undefined;
  const { runs, last } = found;
  return {
    ...resultOf(runs, labelled, config),
    settings: {
      ...lists,
      classifier: "fine-tuning",
      recipe,
      imageSize: config.pixels || "its own", // a settings file may say it
      ...shown(config),
    },
    ...(last ? { predictions: amongGiven(last, labelled) } : {}),
  };
}

/**
 * All draws, those that are finished already as they were kept; undefined if it was interrupted.
 *
 * @returns `last`: predictions of a single draw
 */
async function runsOf(
  run: ProtocolRun,
  labelled: LabelledImages,
  draws: readonly LowShotSubset[],
  config: FinetuneConfig,
): Promise<{ readonly runs: readonly ShotRun[]; readonly last: ClassifierPredictions | undefined } | undefined> {
  const of = draws.map(({ rows }) => drawDigest(rows, decisive(config)));
  const isKept = draws.length > 1; // a single draw is made again, for its predictions
  const working = new WorkingStore(run.store);
  if (!run.resume) await working.clear();
  const finished = await finishedOf(run, isKept ? of : []);
  const progress = new Progress(run.output, draws.length, "fine-tunings", finished.size);
  const runs: ShotRun[] = [];
  let last: ClassifierPredictions | undefined;
  try {
    for (const [i, draw] of draws.entries()) {
      const before = finished.get(i);
      const found = before ? { run: before } : await fineTunedOnce(run, labelled, draw, config, working);
      if (!found) return undefined;
      runs.push(found.run);
      if (!before) {
        if (isKept) await finished.add(i, of[i] ?? "", found.run);
        else last = found.predicted;
        await working.clear();
      }
      progress.update(runs.length);
    }
  } finally {
    progress.end();
  }
  return { runs, last };
}

/** Finished draws to go on from; all are forgotten where there are none to keep. */
function finishedOf({ store, resume, output }: ProtocolRun, of: readonly string[]): Promise<FinishedShots> {
  if (!resume || of.length === 0) return FinishedShots.begin(store);
  return FinishedShots.resume(store, of, (text) => output.notice(text));
}

/** Predictions by the places of the test images that were given. */
function amongGiven(found: ClassifierPredictions, labelled: LabelledImages): TestPredictions {
  return { ...found, indices: placesOfTest(labelled, found.indices), classNames: labelled.classNames };
}

/** Settings of the recipe for the size of the encoder, and of the file. */
async function recipeConfig(run: ProtocolRun, recipe: string, options: FineTuningOptions): Promise<FinetuneConfig> {
  const given = options.config === undefined ? undefined : await readSettings(options.config, finetuneSchema);
  const settings = {
    ...finetunePreset(recipe, run.model.config),
    enlarge: true,
    checkpointEvery: never,
    ...given?.values,
    ...(options.imageSize === undefined ? {} : { pixels: options.imageSize }),
    seed: options.seed,
    maxBad: options.maxBad,
    testEvery: 0,
  };
  return checkedSettings(() => finetuneConfig(settings), given);
}

/** @returns undefined if it was interrupted */
async function fineTunedOnce(
  { device, model, signal, output }: ProtocolRun,
  { train, test, classNames }: LabelledImages,
  { shots, split, rows }: LowShotSubset,
  config: FinetuneConfig,
  working: WorkingStore,
): Promise<{ readonly run: ShotRun; readonly predicted?: ClassifierPredictions } | undefined> {
  const images: ImageSource = { ...subset(train, rows), classNames };
  const batch = fittingBatch(config, images.length);
  const training = finetune({
    encoder: model,
    images,
    config: { ...config, batch },
    store: working,
    resume: await working.begin(`${shots} per class, ${basename(split)}`, {
      rows: Array.from(rows),
      batch,
      ...decisive(config),
    }),
    signal,
  });
  for (;;) {
    const next = await training.next();
    if (!next.done) {
      if (next.value.kind === "broken") output.warning(`left out: ${next.value.text}`);
      if (next.value.kind === "notice") output.notice(next.value.text);
      continue;
    }
    const { finished, updates, model: classifier } = next.value;
    try {
      if (!finished) return undefined;
      if (classifier.device !== device) throw new RangeError("evaluate lowshot: the classifier is on another device");
      const predicted = await classifierPredictions(classifier, test, { signal, maxBad: config.maxBad });
      const accuracy = shareOfRight(predicted);
      return { run: { shots, split: basename(split), images: images.length, batch, updates, accuracy }, predicted };
    } finally {
      classifier.destroy();
    }
  }
}

/** All images where there are fewer than a batch; an even number where pairs are mixed. */
function fittingBatch({ batch, mixup, cutmix }: FinetuneConfig, images: number): number {
  const most = Math.min(batch, images);
  return mixup > 0 || cutmix > 0 ? most - (most % 2) : most;
}

function shareOfRight({ labels, predicted }: ClassifierPredictions): number {
  return predicted.filter((label, row) => label === labels[row]).length / labels.length;
}

/** All that the numbers depend on: with --override, a run may go on with another seed. */
function decisive(config: FinetuneConfig): Record<string, unknown> {
  return { ...shown(config), seed: config.seed };
}

/** The same without the seed, which a receipt tells for all protocols. */
function shown(config: FinetuneConfig): Record<string, unknown> {
  const { workers, prefetch, checkpointEvery, checkpointMinutes, testEvery, seed, maxBad, ...rest } = config;
  return rest;
}

function resultOf(
  runs: readonly ShotRun[],
  { test }: LabelledImages,
  { batch }: FinetuneConfig,
): Omit<ProtocolResult, "settings"> {
  const summary = lowShotSummary(runs);
  const images = test.length;
  const [main, ...others] = summary.map(({ shots, mean }): Score => {
    const standardError = Math.sqrt((mean * (1 - mean)) / images);
    return { name: lowShotScore(shots), value: mean, standardError, images };
  });
  if (!main) throw new UsageError("evaluate lowshot: there is nothing to train on; give --shots or --subset");
  const smaller = runs.filter((one) => one.batch < batch).length;
  return {
    selection: {
      on: "nothing",
      text: "nothing was chosen: the recipe was given, and each fine-tuning was tested once, after its last epoch",
    },
    scores: [main, ...others],
    details: { summary, runs },
    published: labelShareHints(runs),
    remarks:
      smaller > 0
        ? [`${smaller} of ${runs.length} draws have fewer images than a batch of ${batch}: all of them made a batch`]
        : [],
    table: [
      ["images per class", "splits", "accuracy", "deviation"],
      ...summary.map(({ shots, splits, mean, deviation }) => [
        String(shots),
        String(splits),
        mean.toFixed(4),
        splits > 1 ? deviation.toFixed(4) : "-",
      ]),
    ],
  };
}
