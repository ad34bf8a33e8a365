import type { MaskSource, RgbImage } from "../../../refiner/data/index.ts";
import type { SegmentationResult, SegmentedImage } from "../../../refiner/evaluation/index.ts";
import type { EvaluationData } from "../../../refiner/report/index.ts";
import { pngDataUrl } from "../../../refiner/report/report_node.ts";
import { classColour, classCounts, overlaid } from "../segmentation_files.ts";

/** Test images in the page, spread evenly over all. */
const mostOverlays = 8;
/** Longer side of an overlay, in pixels. */
const overlayPixels = 288;

/** Keeps some of the images that are tested as pictures: the image, and predicted and true classes over it. */
export class OverlayPictures {
  readonly overlays: EvaluationData["overlays"] = [];
  readonly #chosen: ReadonlySet<number>;

  constructor(
    images: number,
    readonly masks: MaskSource,
  ) {
    const count = Math.min(mostOverlays, images);
    this.#chosen = new Set(Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * images) / count)));
  }

  async add({ index, image, labels, predicted }: SegmentedImage): Promise<void> {
    if (!this.#chosen.has(index)) return;
    const name = this.masks.name(index).replace(/^.*\//, "");
    const picture = async (shown: RgbImage, label: string) => ({ src: await pngDataUrl(shown, overlayPixels), label });
    const over = (classes: ArrayLike<number>, label: string) =>
      picture({ width: image.width, height: image.height, channels: 3, data: overlaid(image, classes) }, label);
    this.overlays.push({
      image: await picture(image, name),
      predicted: await over(predicted, "predicted"),
      truth: await over(labels.data, "truth"),
    });
  }
}

/** Rows of the page's table of classes. */
export function classRows(test: NonNullable<SegmentationResult["test"]>, offset: number): EvaluationData["classes"] {
  return test.scores.perClass.map((iou, c) => {
    const { labelled, predicted } = classCounts(test.table, c);
    return { stored: c - offset, iou, labelled, predicted, colour: classColour(c) };
  });
}
