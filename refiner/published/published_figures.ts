/** Data sets of MIM-Refiner's result tables: the name of each here, and as it is written. */
export const publishedDataSets = {
  imagenet: "ImageNet-1K",
  inat18: "iNat18",
  vtab6: "VTAB-6",
  ade20k: "ADE20K",
  vtab1k: "VTAB-1K",
} as const;
export type PublishedDataSet = keyof typeof publishedDataSets;

/** Sizes of encoders in the tables, such as L/16: large, patches of 16 pixels. */
export type PublishedShape = "L/16" | "H/14" | "H/16" | "g/14" | "2B/14";

/** Ways of judging in the tables, by the commands here; `linear` are all linear probes. */
export type PublishedProtocol = "knn" | "linear" | "lowshot" | "cluster" | "segment" | "vtab" | "finetune";

/** One column of a table. */
export interface PublishedMeasure {
  readonly dataSet: PublishedDataSet;
  readonly protocol: PublishedProtocol;
  /** What receipts call the score. */
  readonly measure: string;
  readonly unit: "per cent" | "number";
  /** What is not known of the number, in words. */
  readonly note?: string;
}

/** One printed number. */
export interface PublishedFigure extends PublishedMeasure {
  readonly shape: PublishedShape;
  /** As the table calls it; D2V2 is data2vec 2.0. */
  readonly encoder: string;
  /** Whether it is the encoder after refinement. */
  readonly refined: boolean;
  /** As printed, with one digit behind the point. */
  readonly value: number;
  /** Picture of the table in the authors' repository. */
  readonly file: string;
}

/** Where the figures are from, in words. */
export const publishedSource = "MIM-Refiner, arXiv 2402.10093";

type Row = readonly [shape: PublishedShape, encoder: string, values: readonly (number | null)[]];

interface PrintedTable {
  readonly file: string;
  readonly columns: readonly PublishedMeasure[];
  /** Encoders with the ending `refined` are refined ones; null where the table has none. */
  readonly rows: readonly Row[];
}

const shotNote =
  "the authors' configurations have fine-tuned runs of D2V2 and of MAE 2B/14 beside logistic regression, and the table does not say which it shows";
const share = (dataSet: PublishedDataSet, protocol: PublishedProtocol, measure = "accuracy", note = "") =>
  ({ dataSet, protocol, measure, unit: "per cent", ...(note ? { note } : {}) }) as const;
const clusters = (measure: string, unit: PublishedMeasure["unit"] = "per cent") =>
  ({
    ...({ dataSet: "imagenet", protocol: "cluster", measure, unit } as const),
    note: "how this table was made is not published: which images, what variant of k-means, how many starts",
  }) as const;

/**
 * The result tables of MIM-Refiner (arXiv 2402.10093) as its authors publish them: pictures in github.com/ml-jku/MIM-Refiner at commit
 * cc574235995e2115909a6fb91b91ff703af744c2, `file` names each. Rows of other methods stand beside for context.
 */
const tables: readonly PrintedTable[] = [
  {
    file: "docs/imgs/in1k_lowshot.png",
    columns: [
      share("imagenet", "lowshot", "accuracy, 1 per class", shotNote),
      share("imagenet", "lowshot", "accuracy, 2 per class", shotNote),
      share("imagenet", "lowshot", "accuracy, 5 per class", shotNote),
      share("imagenet", "lowshot", "accuracy, 1 % of the labels"),
      share("imagenet", "lowshot", "accuracy, 10 % of the labels"),
      share("imagenet", "linear"),
      share("imagenet", "knn"),
    ],
    rows: [
      ["L/16", "MAE", [14.3, 34.9, 56.9, 67.7, 79.3, 77.5, 60.6]],
      ["L/16", "D2V2", [24.1, 58.8, 72.1, 75.1, 81.5, 78.2, 51.8]],
      ["L/16", "iBOT", [48.5, 58.2, 66.5, 73.3, 79.0, 81.1, 78.0]],
      ["L/16", "Mugs", [52.9, 62.3, 69.4, 76.2, 80.3, 82.1, 80.4]],
      ["L/16", "MAE refined", [57.8, 66.3, 72.0, 76.1, 81.2, 82.8, 81.5]],
      ["L/16", "D2V2 refined", [61.7, 69.6, 73.9, 78.1, 82.1, 83.5, 81.0]],
      ["H/14", "MAE", [7.2, 14.1, 40.2, 72.8, 81.2, 78.2, 58.1]],
      ["H/14", "D2V2", [21.6, 60.8, 74.2, 77.6, 83.3, 80.4, 48.0]],
      ["H/14", "MAE-CT", [49.4, 59.6, 67.4, 74.4, 81.7, 82.3, 79.1]],
      ["H/14", "MAE refined", [59.5, 68.5, 73.8, 77.4, 82.1, 83.7, 82.3]],
      ["H/14", "D2V2 refined", [64.2, 71.3, 75.5, 78.1, 83.5, 84.7, 82.3]],
      ["2B/14", "MAE", [17.8, 29.1, 62.9, 73.6, 82.0, 79.7, 67.1]],
      ["2B/14", "MAE refined", [58.2, 68.6, 74.8, 78.7, 82.5, 84.5, 83.2]],
    ],
  },
  {
    file: "docs/imgs/in1k_clustering.png",
    columns: [
      clusters("accuracy"),
      clusters("NMI"),
      clusters("AMI"),
      clusters("ARI"),
      clusters("silhouette, classes"),
      clusters("Davies–Bouldin, classes", "number"),
    ],
    rows: [
      ["L/16", "D2V2", [10.5, 45.1, 19.5, 2.5, -9.1, 6.4]],
      ["L/16", "iBOT", [52.2, 80.5, 67.0, 33.4, 13.3, 3.5]],
      ["L/16", "Mugs", [54.3, 78.6, 65.5, 22.4, 14.9, 3.3]],
      ["L/16", "D2V2 refined", [67.4, 86.3, 76.2, 40.5, 37.1, 2.2]],
      ["H/14", "D2V2", [9.9, 45.8, 18.0, 2.6, -10.8, 6.5]],
      ["H/14", "D2V2 refined", [67.3, 87.2, 77.9, 42.2, 34.5, 2.3]],
      ["H/16", "MAE-CT", [58.0, 81.8, 69.3, 36.8, null, null]],
      ["g/14", "DINOv2", [47.7, 76.3, 63.6, 5.1, 30.4, 2.8]],
    ],
  },
  {
    file: "docs/imgs/transfer.png",
    columns: [
      share(
        "inat18",
        "lowshot",
        "accuracy, 1 per class",
        "1 per class is headed fine-tuning, but the authors' configurations of it are linear probes",
      ),
      share("inat18", "lowshot", "accuracy, 5 per class"),
      share("inat18", "lowshot", "accuracy, 10 per class"),
      share("inat18", "linear"),
      share("vtab6", "linear", "accuracy, mean of 6 data sets"),
      share("ade20k", "segment", "mean IoU"),
      share("vtab1k", "vtab", "accuracy, mean of 19 tasks"),
    ],
    rows: [
      ["L/16", "MAE", [7.1, 51.6, 68.9, 42.8, 83.0, 33.6, 73.7]],
      ["L/16", "iBOT", [15.8, 51.5, 65.5, 56.0, 87.6, 35.6, 70.8]],
      ["L/16", "Mugs", [19.5, 53.2, 66.9, 61.5, 87.9, 34.8, 68.0]],
      ["L/16", "MAE refined", [19.0, 58.0, 71.7, 60.6, 88.5, 37.3, 75.2]],
      ["H/14", "MAE", [6.5, 53.3, 71.7, 43.0, 83.2, 35.5, 72.7]],
      ["H/14", "MAE-CT", [16.5, 60.1, 74.7, 62.8, 88.8, 37.6, 75.7]],
      ["H/14", "MAE refined", [20.9, 62.4, 75.4, 64.6, 89.3, 39.4, 75.9]],
      ["2B/14", "MAE", [10.0, 53.7, 72.2, 51.0, 85.4, 37.3, 74.1]],
      ["2B/14", "MAE refined", [22.5, 63.5, 76.5, 69.6, 89.8, 40.3, 75.6]],
    ],
  },
  {
    file: "docs/imgs/finetuning.png",
    columns: [share("imagenet", "finetune"), share("inat18", "finetune"), share("ade20k", "finetune", "mean IoU")],
    rows: [
      ["L/16", "MAE", [85.7, 80.7, 47.6]],
      ["L/16", "MAE refined", [85.6, 80.9, 48.3]],
      ["L/16", "dBOT", [85.8, 81.9, 51.0]],
      ["L/16", "dBOT refined", [85.9, 82.1, 51.1]],
      ["L/16", "iBOT", [84.8, 76.9, 48.4]],
      ["L/16", "Mugs", [85.2, 76.9, 48.5]],
      ["H/14", "MAE", [86.7, 82.7, null]],
      ["H/14", "MAE refined", [86.9, 83.3, null]],
      ["H/14", "dBOT", [87.1, 84.1, null]],
      ["H/14", "dBOT refined", [87.1, 84.5, null]],
    ],
  },
];

const refinedEnding = / refined$/;

/** Every number of MIM-Refiner's result tables (arXiv 2402.10093), in their order. */
export const publishedFigures: readonly PublishedFigure[] = tables.flatMap(({ file, columns, rows }) =>
  rows.flatMap(([shape, encoder, values]) =>
    columns.flatMap((column, i): PublishedFigure[] => {
      const value = values[i] ?? null;
      if (value === null) return [];
      const refined = refinedEnding.test(encoder);
      return [{ ...column, shape, encoder: encoder.replace(refinedEnding, ""), refined, value, file }];
    }),
  ),
);
