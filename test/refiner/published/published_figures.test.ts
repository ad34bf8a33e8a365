import { describe, expect, it } from "vitest";
import { type VitConfig, vitConfig, vitPresets } from "../../../models/index.ts";
import { dataSetMismatch, recognisedDataSet } from "../../../refiner/published/data_sets.ts";
import {
  type DataSetTraits,
  type JudgedEncoder,
  labelShareMeasure,
  type PublishedFigure,
  publishedBeside,
  publishedDataSets,
  publishedFigures,
} from "../../../refiner/published/index.ts";
import { publishedSettings } from "../../../refiner/published/published_settings.ts";
import { publishedShape } from "../../../refiner/published/published_shape.ts";
import { vtabTasks } from "../../../refiner/vtab/vtab_tasks.ts";

/** 1,000 names like those of ImageNet-1K's folders, its first and its last among them. */
const imageNetNames = ["n01440764", ...Array.from({ length: 998 }, (_, i) => `n0${2_000_000 + i}`), "n15075141"];
const configs: Readonly<Partial<Record<PublishedFigure["shape"], VitConfig>>> = {
  "L/16": vitConfig("l16"),
  "H/14": vitConfig("h14"),
  "H/16": vitConfig({ ...vitPresets.h14, patchPixels: 16 }),
  "g/14": vitConfig({ width: 1536, blocks: 40, heads: 24, patchPixels: 14 }),
  "2B/14": vitConfig("twob14"),
};
const traits: Readonly<Record<Exclude<PublishedFigure["dataSet"], "vtab6">, DataSetTraits>> = {
  imagenet: { kind: "classes", train: imageNetNames, test: imageNetNames },
  inat18: { kind: "classes", train: Array.from({ length: 8142 }, (_, i) => String(i)) },
  ade20k: { kind: "masks", classes: 150, labelOffset: -1, ignoreIndex: 0 },
  vtab1k: { kind: "tasks", tasks: vtabTasks.map(({ name }) => name) },
};

/** A second reading of the pictures, row by row as they stand there; – is an empty cell. */
const secondReading = {
  "docs/imgs/in1k_lowshot.png": `
    L/16|MAE|14.3 34.9 56.9 67.7 79.3 77.5 60.6
    L/16|D2V2|24.1 58.8 72.1 75.1 81.5 78.2 51.8
    L/16|iBOT|48.5 58.2 66.5 73.3 79.0 81.1 78.0
    L/16|Mugs|52.9 62.3 69.4 76.2 80.3 82.1 80.4
    L/16|MAE-Refined|57.8 66.3 72.0 76.1 81.2 82.8 81.5
    L/16|D2V2-Refined|61.7 69.6 73.9 78.1 82.1 83.5 81.0
    H/14|MAE|7.2 14.1 40.2 72.8 81.2 78.2 58.1
    H/14|D2V2|21.6 60.8 74.2 77.6 83.3 80.4 48.0
    H/14|MAE-CT|49.4 59.6 67.4 74.4 81.7 82.3 79.1
    H/14|MAE-Refined|59.5 68.5 73.8 77.4 82.1 83.7 82.3
    H/14|D2V2-Refined|64.2 71.3 75.5 78.1 83.5 84.7 82.3
    2B/14|MAE|17.8 29.1 62.9 73.6 82.0 79.7 67.1
    2B/14|MAE-Refined|58.2 68.6 74.8 78.7 82.5 84.5 83.2`,
  "docs/imgs/in1k_clustering.png": `
    L/16|D2V2|10.5 45.1 19.5 2.5 -9.1 6.4
    L/16|iBOT|52.2 80.5 67.0 33.4 13.3 3.5
    L/16|Mugs|54.3 78.6 65.5 22.4 14.9 3.3
    L/16|D2V2-Refined|67.4 86.3 76.2 40.5 37.1 2.2
    H/14|D2V2|9.9 45.8 18.0 2.6 -10.8 6.5
    H/14|D2V2-Refined|67.3 87.2 77.9 42.2 34.5 2.3
    H/16|MAE-CT|58.0 81.8 69.3 36.8 – –
    g/14|DINOv2|47.7 76.3 63.6 5.1 30.4 2.8`,
  "docs/imgs/transfer.png": `
    L/16|MAE|7.1 51.6 68.9 42.8 83.0 33.6 73.7
    L/16|iBOT|15.8 51.5 65.5 56.0 87.6 35.6 70.8
    L/16|Mugs|19.5 53.2 66.9 61.5 87.9 34.8 68.0
    L/16|MAE-Refined|19.0 58.0 71.7 60.6 88.5 37.3 75.2
    H/14|MAE|6.5 53.3 71.7 43.0 83.2 35.5 72.7
    H/14|MAE-CT|16.5 60.1 74.7 62.8 88.8 37.6 75.7
    H/14|MAE-Refined|20.9 62.4 75.4 64.6 89.3 39.4 75.9
    2B/14|MAE|10.0 53.7 72.2 51.0 85.4 37.3 74.1
    2B/14|MAE-Refined|22.5 63.5 76.5 69.6 89.8 40.3 75.6`,
  "docs/imgs/finetuning.png": `
    L/16|MAE|85.7 80.7 47.6
    L/16|MAE-Refined|85.6 80.9 48.3
    L/16|dBOT|85.8 81.9 51.0
    L/16|dBOT-Refined|85.9 82.1 51.1
    L/16|iBOT|84.8 76.9 48.4
    L/16|Mugs|85.2 76.9 48.5
    H/14|MAE|86.7 82.7 –
    H/14|MAE-Refined|86.9 83.3 –
    H/14|dBOT|87.1 84.1 –
    H/14|dBOT-Refined|87.1 84.5 –`,
};

describe("the paper's tables", () => {
  it.each(Object.entries(secondReading))("are equal to a second reading of %s", (file, text) => {
    const read = text
      .trim()
      .split("\n")
      .flatMap((line) => {
        const [shape, name = "", values = ""] = line.trim().split("|");
        const printed = values.split(" ").filter((value) => value !== "–");
        return printed.map((value) => [shape, name, value]);
      });
    const held = publishedFigures
      .filter((figure) => figure.file === file)
      .map(({ shape, encoder, refined, value }) => [shape, `${encoder}${refined ? "-Refined" : ""}`, value.toFixed(1)]);
    expect(held).toEqual(read);
  });

  it("give a measure once for an encoder", () => {
    const keys = publishedFigures.map(({ dataSet, protocol, measure, shape, encoder, refined }) =>
      [dataSet, protocol, measure, shape, encoder, refined].join(),
    );
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe("a size of encoder", () => {
  it("is told by width, blocks and patches, and others have no name", () => {
    for (const [shape, config] of Object.entries(configs)) expect(publishedShape(config)).toBe(shape);
    expect(publishedShape(vitConfig("b16"))).toBeUndefined();
    expect(publishedShape(vitConfig({ ...vitPresets.l16, blocks: 23 }))).toBeUndefined();
    expect(publishedShape(vitConfig({ ...vitPresets.l16, patchPixels: 14 }))).toBeUndefined();
  });
});

describe("a data set", () => {
  it.each(Object.entries(traits))("is recognised: %s", (dataSet, seen) => {
    expect(recognisedDataSet(seen)).toBe(dataSet);
  });

  const renamed = ["tench", ...imageNetNames.slice(1)];
  it.each<[string, DataSetTraits]>([
    ["names that are no WordNet numbers", { kind: "classes", train: renamed }],
    ["1,000 other WordNet numbers", { kind: "classes", train: imageNetNames.map((name) => name.replace("n0", "n1")) }],
    ["a name among WordNet numbers", { kind: "classes", train: imageNetNames.with(500, "n02_tench") }],
    ["999 classes", { kind: "classes", train: imageNetNames.slice(1) }],
    ["1,001 classes", { kind: "classes", train: [...imageNetNames, "n09999999"] }],
    ["100 classes of test images", { kind: "classes", train: imageNetNames, test: imageNetNames.slice(0, 100) }],
    ["no classes", { kind: "classes", train: [] }],
    ["masks without offset", { kind: "masks", classes: 150, labelOffset: 0, ignoreIndex: 255 }],
    ["masks that ignore a class", { kind: "masks", classes: 150, labelOffset: -1, ignoreIndex: 7 }],
    ["masks of 151 classes", { kind: "masks", classes: 151, labelOffset: -1, ignoreIndex: 0 }],
    ["some of the tasks", { kind: "tasks", tasks: ["cifar", "svhn"] }],
  ])("is not recognised by %s", (_, seen) => {
    expect(recognisedDataSet(seen)).toBeUndefined();
  });

  it("that the user names is refused by its number of classes only", () => {
    expect(dataSetMismatch("imagenet", { kind: "classes", train: renamed })).toBeUndefined();
    expect(
      dataSetMismatch("ade20k", { kind: "masks", classes: 150, labelOffset: 0, ignoreIndex: 255 }),
    ).toBeUndefined();
    const few = { kind: "classes", train: imageNetNames.slice(0, 10) } as const;
    expect(dataSetMismatch("imagenet", few)).toBe("10 classes, ImageNet-1K has 1,000");
    expect(dataSetMismatch("inat18", few)).toBe("10 classes, iNat18 has 8,142");
    const test = { ...few, train: imageNetNames, test: few.train };
    expect(dataSetMismatch("imagenet", test)).toBe("10 classes of test images, ImageNet-1K has 1,000");
    expect(dataSetMismatch("ade20k", few)).toBe("a class per image, ADE20K has a class per pixel");
    expect(dataSetMismatch("vtab1k", { kind: "tasks", tasks: ["cifar"] })).toBe("1 task, VTAB-1K has 19");
  });
});

/** A measurement with the published settings of a column. */
function asPublished(figure: PublishedFigure): JudgedEncoder {
  const { dataSet, protocol, measure, shape } = figure;
  const config = configs[shape] ?? vitConfig("l16");
  const {
    "training images": trainImages = 1,
    "test images": testImages = 1,
    subsets,
    ...settings
  } = publishedSettings(figure, config);
  return {
    protocol,
    settings: { ...settings, ...(subsets === "from lists" ? { subset: ["a list"] } : {}) },
    ...{ trainImages: Number(trainImages), testImages: Number(testImages), measures: [measure], config },
    traits: dataSet === "vtab6" ? { kind: "classes", train: [] } : traits[dataSet],
  };
}

const commandColumns = publishedFigures.filter(
  ({ dataSet, protocol }) => dataSet !== "vtab6" && !(dataSet === "ade20k" && protocol === "finetune"),
);

describe("published figures beside a measurement", () => {
  const columnOf = ({ dataSet, protocol, measure, shape }: PublishedFigure) =>
    [dataSet, protocol, measure, shape].join(", ");
  const columns = [...new Map(commandColumns.map((figure) => [columnOf(figure), figure])).entries()];

  it.each(columns)("are all of the column, and the published settings have no difference: %s", (name, figure) => {
    const found = publishedBeside(asPublished(figure));
    expect(found?.figures).toEqual(publishedFigures.filter((one) => columnOf(one) === name));
    expect([found?.dataSet, found?.shape, found?.reason, found?.differences]).toEqual([
      figure.dataSet,
      figure.shape,
      undefined,
      [],
    ]);
  });

  const probe = publishedFigures.find((one) => one.protocol === "linear" && one.dataSet === "imagenet");
  if (!probe) throw new Error("the tables hold no linear probe");

  it("are set beside the settings of the authors, as they are listed here again", () => {
    const settingsOf = (dataSet: string, protocol: string, measure?: string) => {
      const figure = publishedFigures.find(
        (one) =>
          one.dataSet === dataSet && one.protocol === protocol && (measure === undefined || one.measure === measure),
      );
      if (!figure) throw new Error(`the tables hold no ${protocol} of ${dataSet}`);
      return publishedSettings(figure, vitConfig("l16"));
    };
    const grid = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5];
    const test = { select: "test", imageSize: 224 };
    const raw = { block: 23, pool: "cls", imageSize: 224 };
    const tuned = { layerDecay: 0.75, weightDecay: 0.05, epochs: 50, imageSize: 224 };
    const few = { ...tuned, classifier: "fine-tuning", subsets: "from lists", batch: 512, learningRate: 3e-5 };
    expect(settingsOf("imagenet", "knn")).toMatchObject({ ...raw, k: 10, temperature: 0.07, standardise: true });
    expect(settingsOf("imagenet", "linear")).toMatchObject({ ...test, batch: 1024, epochs: 50, rates: grid });
    expect(settingsOf("inat18", "linear")).toMatchObject({ ...test, batch: 256, rates: [0.001, 0.002, 0.005, 0.01] });
    expect(settingsOf("ade20k", "segment")).toMatchObject({ ...test, batch: 16, epochs: 50, blocks: 4 });
    const regression = { classifier: "logistic regression", subsets: "from lists", penalty: 0.00025 };
    expect(settingsOf("imagenet", "lowshot", "accuracy, 1 per class")).toMatchObject({ ...raw, ...regression });
    for (const [percent, randAugment] of [
      [1, 0],
      [10, 2],
    ])
      expect(settingsOf("imagenet", "lowshot", `accuracy, ${percent} % of the labels`)).toMatchObject({
        ...few,
        randAugment,
      });
    const drawn = { classifier: "fine-tuning", subsets: "drawn here", splits: 3, batch: 256, learningRate: 0.001 };
    expect(settingsOf("inat18", "lowshot")).toMatchObject({ ...tuned, ...drawn });
    const rates = { learningRates: [0.001, 0.00075, 0.0005, 0.00025, 0.0001], seeds: 5, batch: 64 };
    expect(settingsOf("vtab1k", "vtab")).toMatchObject({ ...tuned, ...rates });
    const whole = { batch: 1024, warmup: 5, learningRate: 0.001, mixup: 0.8, cutmix: 1, dropPath: 0.2, erase: 0.25 };
    expect(settingsOf("imagenet", "finetune")).toMatchObject({ ...tuned, ...whole });
    expect(settingsOf("inat18", "finetune")).toMatchObject({ ...tuned, ...whole, erase: 0 });
  });

  it("name every setting that is not as published", () => {
    const published = asPublished(probe);
    const settings = { ...published.settings, select: "held-out", cache: true, batch: 128 };
    const found = publishedBeside({ ...published, settings, testImages: 5000 });
    expect(found?.differences.toSorted()).toEqual([
      "batch 128 (published 1024)",
      "cache true (published false)",
      "select held-out (published test)",
      "test images 5000 (published 50000)",
    ]);
    expect(found?.figures.map(({ value }) => value)).toEqual([77.5, 78.2, 81.1, 82.1, 82.8, 83.5]);
  });

  it("tell of a k-NN number that the last norm has changed, unless none follows the last block", () => {
    const [knn] = publishedFigures.filter(({ protocol }) => protocol === "knn");
    if (!knn) throw new Error("the tables hold no k-NN");
    const published = asPublished(knn);
    const settings = { ...published.settings, block: "all", imageSize: "its own" };
    expect(publishedBeside({ ...published, settings })?.differences).toEqual(["block last (published 23)"]);
    const postnorm = { ...published, settings, config: vitConfig("l16", { kind: "postnorm" }) };
    expect(publishedBeside(postnorm)?.differences).toEqual([]);
  });

  it("take transfer for the linear probe that it is", () => {
    const [figure] = publishedFigures.filter(({ dataSet, protocol }) => dataSet === "inat18" && protocol === "linear");
    if (!figure) throw new Error("the tables hold no probe of iNat18");
    const found = publishedBeside({ ...asPublished(figure), protocol: "transfer" });
    expect([found?.figures.length, found?.differences]).toEqual([4, []]);
  });

  it("are none for another size or protocol, which is all that is said", () => {
    const published = asPublished(probe);
    const small = publishedBeside({ ...published, config: vitConfig("b16") });
    expect(small).toEqual({
      ...{ dataSet: "imagenet", figures: [], differences: [], notes: [] },
      reason:
        "none are published for linear on ImageNet-1K with a ViT of width 768, 12 blocks and patches of 16 pixels",
    });
    expect(publishedBeside({ ...published, protocol: "robustness" })?.reason).toBe(
      "none are published for robustness on ImageNet-1K with ViT-L/16",
    );
    const clusters = publishedBeside({
      ...published,
      protocol: "cluster",
      measures: ["NMI"],
      config: vitConfig("twob14"),
    });
    expect([clusters?.figures, clusters?.shape]).toEqual([[], "2B/14"]);
    expect(publishedBeside({ ...published, traits: { kind: "classes", train: ["cat", "dog"] } })).toBeUndefined();
  });

  it("are shown or refused as the user says which data set it is", () => {
    const published = asPublished(probe);
    const named = { ...published, traits: { kind: "classes", train: renamedOf(imageNetNames) } } as const;
    expect(publishedBeside(named)).toBeUndefined();
    expect(publishedBeside({ ...named, dataSet: "imagenet" })?.figures).toHaveLength(6);
    const few = { ...named, traits: { kind: "classes", train: ["cat", "dog"] }, dataSet: "imagenet" } as const;
    expect(publishedBeside(few)).toMatchObject({
      figures: [],
      reason: "2 classes, ImageNet-1K has 1,000: no figures are shown",
    });
  });

  it("of 1 % and 10 % of the labels are told by the length of the list", () => {
    expect(labelShareMeasure(12_811)).toBe("accuracy, 1 % of the labels");
    expect(labelShareMeasure(128_100)).toBe("accuracy, 10 % of the labels");
    for (const other of [12_812, 12_000, 5000, 1_281_167]) expect(labelShareMeasure(other)).toBeUndefined();
  });

  it("of two recipes tell which number a difference is of", () => {
    const [one, ten] = ["1 %", "10 %"].map((part) =>
      publishedFigures.find((figure) => figure.measure === `accuracy, ${part} of the labels`),
    );
    if (!one || !ten) throw new Error("the tables hold no numbers of few labels");
    const measures = [one.measure, ten.measure];
    const found = publishedBeside({ ...asPublished(one), measures });
    expect(found?.differences).toEqual(["randAugment 0 (published 2) for accuracy, 10 % of the labels"]);
  });

  it("have a name for every data set", () => {
    for (const { dataSet } of publishedFigures) expect(publishedDataSets[dataSet]).toMatch(/\w/);
  });
});

function renamedOf(names: readonly string[]): string[] {
  return names.map((name) => `class ${name}`);
}
