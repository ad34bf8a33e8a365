import type { VitConfig } from "../../models/index.ts";
import { type DataSetTraits, dataSetMismatch, recognisedDataSet } from "./data_sets.ts";
import {
  type PublishedDataSet,
  type PublishedFigure,
  type PublishedProtocol,
  type PublishedShape,
  publishedDataSets,
  publishedFigures,
} from "./published_figures.ts";
import { type JudgedSettings, publishedDifferences } from "./published_settings.ts";
import { publishedShape } from "./published_shape.ts";

/** A measurement that published numbers are to stand beside. */
export interface JudgedEncoder extends JudgedSettings {
  /** Name of the command's protocol, such as `transfer`. */
  readonly protocol: string;
  readonly traits: DataSetTraits;
  /** Where the user says which data set it is; else it is recognised by its traits. */
  readonly dataSet?: PublishedDataSet;
  /** Names of the scores, as the columns of the tables are called here. */
  readonly measures: readonly string[];
  readonly config: VitConfig;
}

/** What is published beside a measurement. */
export interface PublishedBeside {
  readonly dataSet: PublishedDataSet;
  /** Absent for a size that the tables do not have. */
  readonly shape?: PublishedShape;
  /** Why there are no figures, in words; absent where there are some. */
  readonly reason?: string;
  readonly figures: readonly PublishedFigure[];
  /** What was done otherwise than published, in words. */
  readonly differences: readonly string[];
  /** What is not known of the figures, in words. */
  readonly notes: readonly string[];
}

/** Protocols of the tables by those of the commands. */
const protocols: Readonly<Record<string, PublishedProtocol>> = {
  ...{ knn: "knn", linear: "linear", transfer: "linear", lowshot: "lowshot", cluster: "cluster" },
  ...{ segment: "segment", vtab: "vtab", finetune: "finetune" },
};

/**
 * The numbers of MIM-Refiner's tables (arXiv 2402.10093) for the same data set, protocol and size of encoder, and what was done
 * otherwise than there. They are for reading beside one's own number: weights, decoders and libraries differ.
 *
 * @returns undefined for images of no data set of the tables
 */
export function publishedBeside(judged: JudgedEncoder): PublishedBeside | undefined {
  const { traits, config, measures } = judged;
  const dataSet = judged.dataSet ?? recognisedDataSet(traits);
  if (dataSet === undefined) return undefined;
  const shape = publishedShape(config);
  const found = { dataSet, ...(shape === undefined ? {} : { shape }), figures: [], differences: [], notes: [] };
  const mismatch = dataSetMismatch(dataSet, traits);
  if (mismatch !== undefined) return { ...found, reason: `${mismatch}: no figures are shown` };
  const protocol = Object.hasOwn(protocols, judged.protocol) ? protocols[judged.protocol] : undefined;
  const ofProtocol = publishedFigures.filter((one) => one.dataSet === dataSet && one.protocol === protocol);
  const figures = ofProtocol.filter((one) => one.shape === shape && measures.includes(one.measure));
  if (figures.length === 0) {
    const size = shape === undefined ? sizeText(config) : `ViT-${shape}`;
    return {
      ...found,
      reason: `none are published for ${judged.protocol} on ${publishedDataSets[dataSet]} with ${size}`,
    };
  }
  const columns = [...new Map(figures.map((one) => [one.measure, one])).values()];
  const notes = [...new Set(figures.flatMap(({ note }) => note ?? []))];
  return { ...found, figures, differences: publishedDifferences(columns, judged, config), notes };
}

function sizeText({ width, blocks, patchPixels }: VitConfig): string {
  return `a ViT of width ${width}, ${blocks} blocks and patches of ${patchPixels} pixels`;
}

/** Lengths of the published lists of ImageNet-1K's training images with few labels, by their share of all. */
const labelShares = { "1 %": 12_811, "10 %": 128_116 } as const;
/** Of a list that may be missing: broken images are left out. */
const missingShare = 0.01;

/**
 * What the tables call the score of a classifier that was trained on a published list of ImageNet-1K's images.
 *
 * @param trainedImages - length of the list
 * @returns undefined for any other list
 */
export function labelShareMeasure(trainedImages: number): string | undefined {
  const found = Object.entries(labelShares).find(
    ([, images]) => trainedImages <= images && trainedImages >= (1 - missingShare) * images,
  );
  return found && `accuracy, ${found[0]} of the labels`;
}
