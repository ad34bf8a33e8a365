import { shown as escaped } from "../../engine/core/shown.ts";
import type { VitConfig } from "../../models/index.ts";
import { type ImageSource, occurringClasses } from "../../refiner/data/index.ts";
import {
  type DataSetTraits,
  type FinetuneConfig,
  type FinetuneResult,
  labelShareMeasure,
  type PublishedFigure,
  publishedBeside,
  publishedDataSets,
  publishedSource,
} from "../../refiner/index.ts";
import type { PublishedTable } from "../../refiner/report/index.ts";
import { tableLine } from "../output/streams.ts";
import type { DataSetOption } from "../program/shared_options.ts";
import type { FinetuneImages } from "../runs/finetune_images.ts";
import type { PublishedPart, Receipt } from "./evaluation_line.ts";

/** What a protocol says of its numbers for published ones to stand beside. */
export interface PublishedHints {
  /** Where classes of images do not tell the data set. */
  readonly traits?: DataSetTraits;
  /** What the published tables call a score, by its name, where that is another. */
  readonly measures?: Readonly<Record<string, string>>;
}

/** What receipts call the score of low-shot runs; the tables know it for 1, 2, 5 and 10. */
export function lowShotScore(shots: number): string {
  return `accuracy, ${shots} per class`;
}

/** What the tables call the scores of low-shot runs on the published lists of 1 % and 10 % of ImageNet-1K's labels. */
export function labelShareHints(runs: readonly { readonly shots: number; readonly images: number }[]): PublishedHints {
  const named = runs.flatMap(({ shots, images }) => {
    const measure = labelShareMeasure(images);
    return measure === undefined ? [] : [[lowShotScore(shots), measure]];
  });
  return { measures: Object.fromEntries(named) };
}

/** A measurement and how it was made. */
export interface Measurement {
  readonly protocol: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly scores: readonly { readonly name: string }[];
  readonly config: VitConfig;
  readonly train: ImageSource;
  readonly test: ImageSource;
  /** Whether the test images are a part of those that were given to train on. */
  readonly isHeldOut: boolean;
  readonly hints?: PublishedHints | undefined;
}

/** What the paper's tables hold beside a measurement; undefined where they hold no such data set, or `--data-set none`. */
export function publishedPart(measured: Measurement, option: DataSetOption): PublishedPart | undefined {
  if (option === "none") return undefined;
  const { protocol, settings, scores, config, train, test, hints = {} } = measured;
  const measureOf = (name: string): string => hints.measures?.[name] ?? name;
  const found = publishedBeside({
    protocol,
    ...{ settings, config },
    ...{ trainImages: train.length, testImages: test.length },
    traits: hints.traits ?? classTraits(measured),
    measures: scores.map(({ name }) => measureOf(name)),
    ...(option === "auto" ? {} : { dataSet: option }),
  });
  if (!found) return undefined;
  const { dataSet, figures, differences, notes, ...rest } = found;
  const scoreOf = (measure: string): string => scores.find(({ name }) => measureOf(name) === measure)?.name ?? measure;
  return {
    ...{ dataSet, source: publishedSource },
    ...rest,
    figures: figures.map((figure) => ({ score: scoreOf(figure.measure), ...stored(figure) })),
    differences: [...differences],
    notes: [...notes],
  };
}

function stored({ measure, encoder, refined, unit, value }: PublishedFigure) {
  const isShare = unit === "per cent";
  // 82.8 / 100 may have a last digit of its own: printed are three.
  return {
    measure,
    encoder,
    refined,
    unit: isShare ? "share" : "number",
    value: isShare ? Number((value / 100).toFixed(3)) : value,
  } as const;
}

/** The same for a classifier that `finetune` trained and tested: what its lines, report and result show. */
export function publishedOfClassifier(
  { finished, tests }: Pick<FinetuneResult, "finished" | "tests">,
  { config, images, encoder }: TrainedClassifier,
  option: DataSetOption,
): { readonly tables: readonly PublishedTable[]; readonly result: { readonly published?: PublishedPart } } {
  const { train, test, placedTest } = images;
  const last = tests.at(-1);
  // A test that failed at the end was left out: an earlier one is not of this classifier.
  if (!finished || !test || !last || Math.abs(last.epoch - config.epochs) >= 0.5) return { tables: [], result: {} };
  const scores = [{ name: "accuracy", value: last.accuracy, standardError: null, images: last.images }];
  const settings = { ...config, imageSize: config.pixels || "its own" };
  const measured = { protocol: "finetune", settings, scores, config: encoder, train, test };
  const published = publishedPart({ ...measured, isHeldOut: placedTest === undefined }, option);
  if (!published) return { tables: [], result: {} };
  return { tables: publishedTables([{ scores, published }], ["this classifier"]), result: { published } };
}

interface TrainedClassifier {
  readonly config: FinetuneConfig;
  readonly images: Pick<FinetuneImages, "train" | "test" | "placedTest">;
  readonly encoder: VitConfig;
}

function classTraits({ train, test, isHeldOut }: Measurement): DataSetTraits {
  const [own, other] = [train, test].map((source) => [...occurringClasses(source).values()]);
  if (isHeldOut) return { kind: "classes", train: [...new Set([...(own ?? []), ...(other ?? [])])] };
  return { kind: "classes", train: own ?? [], test: other ?? [] };
}

/** Names that tell the encoders of receipts apart: the shortest ends of the files' paths that do. */
export function namesOfEncoders(receipts: readonly Receipt[]): string[] {
  const paths = receipts.map(({ encoder }) => encoder.weights.split(/[\\/]/));
  const different = new Set(paths.map((path) => path.join("/"))).size;
  const ends = (parts: number): string[] => paths.map((path) => path.slice(-parts).join("/"));
  let parts = 1;
  while (new Set(ends(parts)).size < different) parts++;
  return ends(parts);
}

/** An encoder's scores, to be set above published ones. */
interface Judged {
  readonly name: string;
  readonly scores: Receipt["scores"];
  readonly published: PublishedPart;
}

/**
 * A table for each size of encoder that was judged: its own numbers in the first rows, published ones below.
 *
 * @param names - of the encoders
 */
export function publishedTables(
  receipts: readonly Pick<Receipt, "scores" | "published">[],
  names: readonly string[],
): PublishedTable[] {
  const groups = new Map<string, Judged[]>();
  for (const [i, { scores, published }] of receipts.entries()) {
    if (!published) continue;
    const key = `${published.dataSet} ${published.shape} ${published.reason}`;
    groups.set(key, [...(groups.get(key) ?? []), { name: names[i] ?? "", scores, published }]);
  }
  return [...groups.values()].flatMap((group): PublishedTable[] => {
    const [first] = group;
    return first ? [tableOf(first.published, group)] : [];
  });
}

function tableOf(
  { source, dataSet, shape, reason, figures, notes }: PublishedPart,
  judged: readonly Judged[],
): PublishedTable {
  const differences = [...new Set(judged.flatMap(({ published }) => published.differences))];
  const columns = [...new Map(figures.map((one) => [one.measure, one])).values()];
  const encoders = [...new Map(figures.map((one) => [encoderName(one), one])).entries()];
  const own = judged.map(({ name, scores }) => [
    name,
    ...columns.map(({ score, unit }) => numberText(scores.find((one) => one.name === score)?.value, unit, 2)),
  ]);
  const rows = encoders.map(([name]) => [
    name,
    ...columns.map(({ measure, unit }) => {
      const found = figures.find((one) => one.measure === measure && encoderName(one) === name);
      return numberText(found?.value, unit, 1);
    }),
  ]);
  const plain = columns.filter(({ unit }) => unit === "number").map(({ measure }) => measure);
  return {
    caption: `${source}: ${publishedDataSets[dataSet]} with ViT-${shape}, per cent${plain.length > 0 ? ` (${plain.join(", ")}: as it is)` : ""}`,
    columns: ["", ...columns.map(({ measure }) => measure)],
    rows: reason === undefined ? [...own, ...rows] : [],
    texts: [
      ...(reason === undefined ? [] : [`published figures (${source}): ${reason}`]),
      ...(differences.length > 0 ? [`not as published: ${differences.join("; ")}`] : []),
      ...notes,
    ],
  };
}

function encoderName({ encoder, refined }: PublishedPart["figures"][number]): string {
  return refined ? `${encoder}, refined` : encoder;
}

function numberText(value: number | undefined, unit: "share" | "number", digits: number): string {
  if (value === undefined) return "–";
  return (unit === "share" ? 100 * value : value).toFixed(digits);
}

/** The same for the terminal: lines, cells apart by tabs. */
export function publishedLines(receipts: readonly Receipt[]): string[] {
  return linesOfTables(publishedTables(receipts, namesOfEncoders(receipts)));
}

export function linesOfTables(tables: readonly PublishedTable[]): string[] {
  return tables.flatMap(({ caption, columns, rows, texts }) => [
    ...(rows.length > 0 ? [escaped(caption), ...[columns, ...rows].map(tableLine)] : []),
    ...texts.map(escaped),
  ]);
}
