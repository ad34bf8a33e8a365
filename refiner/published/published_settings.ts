import type { VitConfig } from "../../models/index.ts";
import {
  linearProbeSchema,
  lowShotPenalty,
  probePreset,
  segmentationBlocks,
  segmentationPreset,
  segmentationSchema,
} from "../evaluation/index.ts";
import { type FinetuneConfig, finetuneConfig, finetunePreset } from "../methods/finetune/finetune_config.ts";
import { vtabConfig, vtabPreset } from "../vtab/vtab_config.ts";
import type { PublishedDataSet, PublishedMeasure } from "./published_figures.ts";

/** Settings by the names that receipts give them. */
type Settings = Readonly<Record<string, unknown>>;

/** How a number was measured, as its receipt says. */
export interface JudgedSettings {
  readonly settings: Settings;
  readonly trainImages: number;
  readonly testImages: number;
}

/** Sizes of the published sets, training and test. */
const images: Readonly<Partial<Record<PublishedDataSet, readonly [train: number, test: number]>>> = {
  imagenet: [1_281_167, 50_000],
  inat18: [437_513, 24_426],
  ade20k: [20_210, 2000],
};

/** Pixels of a side of the images that all of the paper's encoders are judged with. */
const imagePixels = 224;

/** Settings of fine-tuning that its result depends on. */
const recipeKeys = [
  ...(["pooling", "frozenShare", "dropPath", "ema", "area", "flip", "randAugment", "randAugmentMagnitude"] as const),
  ...(["erase", "labelSmoothing", "mixup", "cutmix", "batch", "epochs", "warmup", "learningRate"] as const),
  ...(["endLearningRate", "layerDecay", "weightDecay"] as const),
] satisfies readonly (keyof FinetuneConfig)[];

/**
 * The settings that a column of MIM-Refiner's tables was measured with, by its authors' published configurations (arXiv 2402.10093,
 * appendix B); those that are not known are left out.
 *
 * @param config - of the encoder, since recipes know sizes
 */
export function publishedSettings(column: PublishedMeasure, config: VitConfig): Settings {
  const { dataSet, protocol } = column;
  if (protocol === "cluster") return {};
  if (protocol === "vtab") return vtabSettings(config);
  const [train, test] = images[dataSet] ?? [];
  const shared = {
    imageSize: imagePixels,
    ...(train === undefined ? {} : { "training images": train, "test images": test }),
  };
  if (protocol === "knn") return { k: 10, temperature: 0.07, standardise: true, ...rawFeatures(config), ...shared };
  if (protocol === "linear") return { ...probeSettings(dataSet), ...shared };
  if (protocol === "segment") return { ...maskSettings(config), ...shared };
  if (protocol === "lowshot") return { ...lowShotSettings(column, config), ...shared };
  // Of iNat18 the authors' configuration erases nothing.
  return { ...recipe("paper", config, dataSet === "inat18" ? { erase: 0 } : {}), ...shared };
}

/** The class token of the last block, before the last norm. */
function rawFeatures({ blocks }: VitConfig): Settings {
  return { block: blocks - 1, pool: "cls" };
}

function probeSettings(dataSet: PublishedDataSet): Settings {
  const sets = dataSet === "imagenet" ? "paper" : dataSet === "inat18" ? "inat" : "vtab6";
  const whole = linearProbeSchema.parse({ ...probePreset(sets, 0), select: "test" });
  const { batch, epochs, rates, sources, cache, select } = whole;
  return { batch, epochs, rates, sources, cache, select, pooling: "cls", fit: sets === "vtab6" ? "squash" : "crop" };
}

function maskSettings(config: VitConfig): Settings {
  const whole = segmentationSchema.parse({ ...segmentationPreset("paper", 0), select: "test" });
  const { batch, epochs, rates, testEvery, select } = whole;
  return { batch, epochs, rates, testEvery, select, blocks: segmentationBlocks(config).length };
}

function lowShotSettings({ dataSet, measure }: PublishedMeasure, config: VitConfig): Settings {
  if (dataSet === "inat18")
    return { classifier: "fine-tuning", subsets: "drawn here", splits: 3, ...recipe("paper_shots", config) };
  const percent = /(\d+) % of the labels/.exec(measure)?.[1];
  if (percent !== undefined)
    return { classifier: "fine-tuning", subsets: "from lists", ...recipe(`paper_${percent}percent`, config) };
  return {
    ...{ classifier: "logistic regression", subsets: "from lists", penalty: lowShotPenalty },
    ...rawFeatures(config),
  };
}

function recipe(preset: string, config: VitConfig, changes: Partial<FinetuneConfig> = {}): Settings {
  const whole = { ...finetuneConfig({ ...finetunePreset(preset, config) }), ...changes };
  return Object.fromEntries(recipeKeys.map((key) => [key, whole[key]]));
}

function vtabSettings(config: VitConfig): Settings {
  const whole = vtabConfig({ ...vtabPreset("paper", config) });
  const { learningRates, seeds, epochs, batch, layerDecay, weightDecay, frozenShare } = whole;
  return { learningRates, seeds, epochs, batch, layerDecay, weightDecay, frozenShare, imageSize: imagePixels };
}

/**
 * What of a measurement is not as published, one text per setting, such as `select held-out (published test)`. Settings that either
 * side does not state are not compared.
 *
 * @param columns - that the measurement has numbers of
 * @param config - of the encoder
 */
export function publishedDifferences(
  columns: readonly PublishedMeasure[],
  judged: JudgedSettings,
  config: VitConfig,
): string[] {
  const used = statedSettings(judged, config);
  const lists = columns.map((column) => differences(used, publishedSettings(column, config)));
  const all = [...new Set(lists.flat())];
  const isSame = lists.every((list) => list.length === all.length);
  if (isSame) return all;
  return all.map((text) => {
    const of = columns.filter((_, i) => lists[i]?.includes(text));
    return of.length === columns.length ? text : `${text} for ${of.map(({ measure }) => measure).join("; ")}`;
  });
}

function differences(used: Settings, published: Settings): string[] {
  return Object.entries(published).flatMap(([name, value]) => {
    const own = used[name];
    if (own === undefined || JSON.stringify(own) === JSON.stringify(value)) return [];
    return [`${name} ${settingText(own)} (published ${settingText(value)})`];
  });
}

/** Settings in the words of the published ones: what stands for the encoder's own is resolved. */
function statedSettings({ settings, trainImages, testImages }: JudgedSettings, config: VitConfig): Settings {
  const { heightPixels, widthPixels, kind, blocks } = config;
  const { imageSize, block, subset } = settings;
  const own = heightPixels === widthPixels ? heightPixels : `${heightPixels}x${widthPixels}`;
  const isFinal = block === "all" || block === "last";
  // Behind a post-norm encoder's last block no norm follows: both names mean the same features.
  const stated = isFinal ? (kind === "postnorm" ? blocks - 1 : "last") : block;
  return {
    classifier: "logistic regression",
    ...settings,
    subsets: subset === undefined ? "drawn here" : "from lists",
    ...(block === undefined ? {} : { block: stated }),
    imageSize: typeof imageSize === "number" ? imageSize : own,
    "training images": trainImages,
    "test images": testImages,
  };
}

function settingText(value: unknown): string {
  if (Array.isArray(value)) return value.map(settingText).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
