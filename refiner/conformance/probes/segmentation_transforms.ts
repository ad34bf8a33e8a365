import { centredIn, cropPixels, fittedSize, type LabelledPixels, padLabels } from "../../data/masks/labelled_crop.ts";
import { resizeLabels } from "../../data/masks/nearest.ts";
import { resizeBicubic } from "../../data/masks/resize_bicubic.ts";
import { evaluationViews } from "../../data/views/index.ts";
import { copyRegion, normalisedPlanes } from "../../evaluation/segmentation/planes.ts";
import type { GoldenCase } from "../fixture.ts";
import type { Json } from "../json.ts";
import { compareAbsolute } from "./probe_case.ts";
import { labelMap } from "./segmentation_scores.ts";

const imageBound = 1e-5;

/** Training crops of one image, with the stored draws. */
export async function compareTransforms(golden: GoldenCase): Promise<void> {
  const transforms = golden.json.get("transforms");
  const side = transforms.get("resolution").number();
  const [height = 1, width = 1] = golden.shape("transform/image");
  const whole: LabelledPixels = {
    image: { width, height, channels: 3, data: await golden.bytes("transform/image") },
    labels: labelMap(await golden.integers("transform/labels"), height, width),
  };
  for (const i of transforms.get("cases").keys()) await compareCase(golden, transforms.get("cases", i), whole, side);
}

async function compareCase(golden: GoldenCase, stored: Json, whole: LabelledPixels, side: number): Promise<void> {
  const name = stored.get("name").text();
  const ratio = stored.get("ratio_draw").number();
  const { height, width } = fittedSize(whole.image, side, ratio);
  const size = stored.get("resized_height_width");
  golden.add(size.path, [height, width], size.numbers(), 0);
  await golden.compare(`${name}/resized_image`, resizeBicubic(whole.image, height, width).data, 0);
  await golden.compare(`${name}/resized_labels`, resizeLabels(whole.labels, height, width).data, 0);
  const candidates = stored.get("crop_top_left_candidates");
  const places = candidates.keys().map((i) => candidates.get(i).numbers());
  let asked = 0;
  const cropped = cropPixels(whole, { height, width }, side, {
    ratio,
    place: () => {
      const [top = 0, left = 0] = places[asked++] ?? [];
      return [top, left];
    },
    flip: stored.get("flip_draw").number(),
  });
  // As many candidates as the authors' code drew, no more and no fewer.
  for (const i of candidates.keys()) golden.addError(candidates.get(i).path, Math.abs(asked - places.length), 0);
  await golden.compare(`${name}/cropped_flipped_image`, cropped.image.data, 0);
  await golden.compare(`${name}/final_labels`, padLabels(cropped.labels, side).data, 0);
  const { top, left } = centredIn(side, cropped.image);
  const final = new Float32Array(3 * side * side);
  const planes = normalisedPlanes(cropped.image, evaluationViews(side, 3));
  copyRegion(final, 0, planes, { top: -top, left: -left, height: side, width: side });
  await compareAbsolute(golden, `${name}/final_image`, final, imageBound);
}
