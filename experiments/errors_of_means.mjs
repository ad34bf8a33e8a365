// Standard errors of what the protocols give as one number, and of differences between encoders on the same images.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { intersectionScores, readPngIndices } from "mimrefine/refiner";
import { numbersFrom } from "./random_numbers.mjs";

const resamples = 300;

/** Mean and its standard error. */
export function meanOf(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { value: mean, error: Math.sqrt(squares / (values.length - 1) / values.length) };
}

/** 1 for every right and 0 for every wrong test image, from a file of `--predictions`. */
export async function hitsOf(file) {
  const [labels, predictions] = await columnsOf(file, ["label", "prediction"]);
  return labels.map((label, i) => (label === predictions[i] ? 1 : 0));
}

/** Of every test image the share of the corruptions under which it was classified rightly, from a file of `--predictions`. */
export async function rightFormsOf(file) {
  const [shares] = await columnsOf(file, ["right forms"]);
  return shares.map(Number);
}

/** Columns of a table; only the first one, the path, may hold commas. */
async function columnsOf(file, names) {
  const [head, ...lines] = (await readFile(file, "utf8")).trim().split("\n");
  const columns = head.split(",");
  return names.map((name) => lines.map((line) => line.split(",").at(columns.indexOf(name) - columns.length)));
}

/** Confusion in pixels of every image, from two folders of masks with the same names. */
export async function confusionsOf(masks, predicted, classes) {
  const files = (await readdir(masks)).sort();
  return Promise.all(
    files.map(async (file) => {
      const read = async (folder) =>
        (await readPngIndices(new Uint8Array(await readFile(join(folder, file))), file)).data;
      const [labels, found] = [await read(masks), await read(predicted)];
      const counts = new Float64Array(classes * classes);
      for (const [pixel, label] of labels.entries()) counts[label * classes + found[pixel]] += 1;
      return counts;
    }),
  );
}

/** Means over classes of intersection over union, with bootstrap errors over images; of one encoder, or of b - a. */
export function iouSpread(classes, a, b) {
  const random = numbersFrom(0);
  const meanIou = (images, drawn) => {
    const counts = new Float64Array(classes * classes);
    for (const i of drawn) for (const [at, count] of images[i].entries()) counts[at] += count;
    return intersectionScores({ classes, counts }).mean;
  };
  const value = (drawn) => (b ? meanIou(b, drawn) - meanIou(a, drawn) : meanIou(a, drawn));
  const values = Array.from({ length: resamples }, () => value(a.map(() => Math.floor(random() * a.length))));
  const { error } = meanOf(values);
  return { value: value([...a.keys()]), error: error * Math.sqrt(resamples) };
}
