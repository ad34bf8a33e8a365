import { vtabTasks } from "../vtab/vtab_tasks.ts";
import { type PublishedDataSet, publishedDataSets } from "./published_figures.ts";

/** What tells a data set: the classes of its images, how masks store theirs, or the names of tasks. */
export type DataSetTraits =
  /** Names of the classes that occur; `test` only where the test images are a set of their own. */
  | { readonly kind: "classes"; readonly train: readonly string[]; readonly test?: readonly string[] }
  /** Number of classes, what is added to stored numbers, and the stored number that is ignored. */
  | { readonly kind: "masks"; readonly classes: number; readonly labelOffset: number; readonly ignoreIndex: number }
  | { readonly kind: "tasks"; readonly tasks: readonly string[] };

/** Classes of ILSVRC 2012 (arXiv 1409.0575, table 2), and the first and the last of their WordNet numbers in order. */
const imageNet = { classes: 1000, first: "n01440764", last: "n15075141" };
/** Of iNaturalist 2018 (arXiv 1707.06642 describes the series). */
const iNat18Classes = 8142;
/** Of ADE20K's scene parsing benchmark (arXiv 1608.05442); masks store 0 for none of them. */
const ade20kClasses = 150;

/**
 * The data set of MIM-Refiner's tables that images are of: ImageNet-1K by its 1,000 classes under their WordNet numbers, iNat18 by the
 * number of its classes, ADE20K by 150 classes whose masks store 0 for none, VTAB-1K by all of its tasks.
 *
 * @returns undefined for any other
 */
export function recognisedDataSet(traits: DataSetTraits): PublishedDataSet | undefined {
  if (traits.kind === "tasks") return dataSetMismatch("vtab1k", traits) === undefined ? "vtab1k" : undefined;
  if (traits.kind === "masks") {
    const { labelOffset, ignoreIndex } = traits;
    const isStored = labelOffset === -1 && (ignoreIndex === 0 || ignoreIndex > ade20kClasses);
    return isStored && dataSetMismatch("ade20k", traits) === undefined ? "ade20k" : undefined;
  }
  if (dataSetMismatch("inat18", traits) === undefined) return "inat18";
  if (dataSetMismatch("imagenet", traits) !== undefined) return undefined;
  return [traits.train, traits.test ?? traits.train].every(areOfImageNet) ? "imagenet" : undefined;
}

function areOfImageNet(names: readonly string[]): boolean {
  const sorted = [...names].sort();
  return (
    sorted.every((name) => /^n\d{8}$/.test(name)) && sorted[0] === imageNet.first && sorted.at(-1) === imageNet.last
  );
}

/**
 * Why images cannot be of a data set, whatever their classes are called, such as `10 classes, ImageNet-1K has 1,000`.
 *
 * @returns undefined where nothing speaks against it
 */
export function dataSetMismatch(dataSet: PublishedDataSet, traits: DataSetTraits): string | undefined {
  const name = publishedDataSets[dataSet];
  if (dataSet === "vtab6") return `one data set, ${name} is the mean of six`;
  const { kind, count } = expected[dataSet];
  if (traits.kind !== kind) return `${kindTexts[traits.kind]}, ${name} has ${kindTexts[kind]}`;
  const wrong = countsOf(traits).find(({ counted }) => counted !== count);
  if (!wrong) return undefined;
  const [one, several] = kind === "tasks" ? ["task", "tasks"] : ["class", "classes"];
  return `${thousands(wrong.counted)} ${wrong.counted === 1 ? one : several}${wrong.of}, ${name} has ${thousands(count)}`;
}

const expected = {
  imagenet: { kind: "classes", count: imageNet.classes },
  inat18: { kind: "classes", count: iNat18Classes },
  ade20k: { kind: "masks", count: ade20kClasses },
  vtab1k: { kind: "tasks", count: vtabTasks.length },
} as const;

const kindTexts = { classes: "a class per image", masks: "a class per pixel", tasks: "several tasks" } as const;

function countsOf(traits: DataSetTraits): { readonly counted: number; readonly of: string }[] {
  if (traits.kind === "masks") return [{ counted: traits.classes, of: "" }];
  if (traits.kind === "tasks") return [{ counted: new Set(traits.tasks).size, of: "" }];
  const { train, test } = traits;
  return [
    { counted: new Set(train).size, of: "" },
    ...(test ? [{ counted: new Set(test).size, of: " of test images" }] : []),
  ];
}

/** 1000 as 1,000, wherever the program runs. */
function thousands(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
