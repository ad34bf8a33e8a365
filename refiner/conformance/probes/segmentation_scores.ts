import type { LabelMap } from "../../data/masks/label_map.ts";
import {
  addPixels,
  emptyConfusion,
  intersectionScores,
  type PixelConfusion,
} from "../../evaluation/segmentation/intersection.ts";
import { copyRegion, type Planes } from "../../evaluation/segmentation/planes.ts";
import { WindowPlan } from "../../evaluation/segmentation/windows.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Json } from "../json.ts";
import { compareAbsolute } from "./probe_case.ts";

/** Scores are stored from f32. */
const scoreBound = 1e-6;
const logitBound = 2e-5;

export function labelMap(labels: ArrayLike<number>, height: number, width: number): LabelMap {
  return { height, width, data: Int32Array.from(labels) };
}

/** Scores of a table with the stored ones. */
export function compareIntersection(golden: GoldenCase, stored: Json, table: PixelConfusion): void {
  const { mean, micro, perClass } = intersectionScores(table);
  golden.addScalar(stored.get("miou"), mean, scoreBound);
  golden.addScalar(stored.get("micro_iou"), micro, scoreBound);
  const classes = stored.get("iou_per_class");
  const { value } = classes;
  const theirs: readonly unknown[] = Array.isArray(value) ? value : [];
  const differences = theirs.map((theirs, c) => {
    const ours = perClass[c] ?? null;
    if (ours === null || typeof theirs !== "number") return ours === theirs ? 0 : Number.POSITIVE_INFINITY;
    return Math.abs(ours - theirs);
  });
  const worst = theirs.length === perClass.length ? Math.max(...differences) : Number.POSITIVE_INFINITY;
  golden.addError(classes.path, worst, scoreBound);
}

/** A table by hand, with classes that are only predicted, only labelled, and neither. */
export async function compareMetricCase(golden: GoldenCase): Promise<void> {
  const [classes = 0] = golden.shape("metric/confusion");
  const table = emptyConfusion(classes);
  addPixels(table, await golden.integers("metric/labels"), await golden.integers("metric/predicted"));
  await golden.compare("metric/confusion", table.counts, 0);
  compareIntersection(golden, golden.json.get("metric"), table);
}

/** A model of one convolution whose stride is its size, on windows. */
interface PatchModel {
  /** `[classes, channels, patch, patch]` */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  readonly patch: number;
}

/** Sliding windows over images of several sizes, with the stored model in the encoder's place. */
export async function compareSlides(golden: GoldenCase): Promise<void> {
  const { json } = golden;
  const slide = json.get("slide");
  const [, , patch = 1] = golden.shape("slide/weight");
  const model = { weight: await golden.floats("slide/weight"), bias: await golden.floats("slide/bias"), patch };
  const classes = model.bias.length;
  const all = emptyConfusion(classes);
  const [heightPixels = 1, widthPixels = 1] = slide.get("crop").numbers();
  const [strideRows = 1, strideColumns = 1] = slide.get("stride").numbers();
  const patches = { rows: heightPixels / patch, columns: widthPixels / patch };
  const size = { heightPixels, widthPixels, strideRows, strideColumns, ...patches };
  for (const i of slide.get("images").keys()) {
    const stored = slide.get("images", i);
    const name = stored.get("name").text();
    const [channels = 1, height = 1, width = 1] = golden.shape(`${name}/image`);
    stored.expect({ height, width });
    const image = { channels, height, width, data: await golden.floats(`${name}/image`) };
    const plan = new WindowPlan(height, width, size);
    const logits = { values: windowLogits(plan, image, model), heads: 1, head: 0, classes };
    const cells = plan.cellOfPixels();
    const means = plan.average(logits);
    const planes = Array.from({ length: classes }, (_, c) =>
      Array.from(cells, (cell) => means[cell * classes + c] ?? Number.NaN),
    );
    await compareAbsolute(golden, `${name}/logits`, planes.flat(), logitBound);
    const labels = await golden.integers(`${name}/labels`);
    const own = emptyConfusion(classes);
    for (const table of [own, all]) addPixels(table, labels, plan.classes(logits), cells);
    compareIntersection(golden, stored, own);
  }
  await golden.compare("slide/confusion_of_all_images", all.counts, 0);
  compareIntersection(golden, slide.get("all_images"), all);
}

/** The stored model on the windows of an image: a logit per patch. */
function windowLogits({ windows, size }: WindowPlan, image: Planes, { weight, bias, patch }: PatchModel): number[] {
  const { heightPixels, widthPixels, rows, columns } = size;
  const cut = new Float32Array(image.channels * heightPixels * widthPixels);
  const taps = image.channels * patch * patch;
  const tap = (row: number, column: number, i: number): number => {
    const [c, y, x] = [Math.floor(i / (patch * patch)), Math.floor(i / patch) % patch, i % patch];
    return cut[(c * heightPixels + row * patch + y) * widthPixels + column * patch + x] ?? Number.NaN;
  };
  return windows.flatMap((window) => {
    copyRegion(cut, 0, image, window);
    return Array.from({ length: rows * columns * bias.length }, (_, place) => {
      const [at, c] = [Math.floor(place / bias.length), place % bias.length];
      let sum = bias[c] ?? 0;
      for (let i = 0; i < taps; i++)
        sum += (weight[c * taps + i] ?? 0) * tap(Math.floor(at / columns), at % columns, i);
      return sum;
    });
  });
}
