import type { EvaluationData } from "./evaluation_data.ts";
import { escapeHtml, formatPercent, table } from "./html.ts";
import type { PageSection } from "./page.ts";
import { picture } from "./picture_sections.ts";

/** Overlays and the table of classes, as far as there are any. */
export function segmentSections({ overlays, classes }: EvaluationData): PageSection[] {
  return [
    ...(overlays.length > 0 ? [["overlays", "Test images", overlayRows(overlays, classes)] as const] : []),
    ...(classes.length > 0 ? [["classes", "Classes", classTable(classes)] as const] : []),
  ];
}

function overlayRows(overlays: EvaluationData["overlays"], classes: EvaluationData["classes"]): string {
  const rows = overlays.map(
    ({ image, predicted, truth }) =>
      `<div class="card">${picture(image)}${picture(predicted, `Predicted classes of ${image.label}`)}${picture(truth, `True classes of ${image.label}`)}</div>`,
  );
  const swatches = classes
    .filter(({ iou }) => iou !== null)
    .map(
      ({ stored, colour }) =>
        `<li><svg width="14" height="14" aria-hidden="true"><rect width="14" height="14" fill="${escapeHtml(colour)}"/></svg>class ${stored}</li>`,
    );
  return `<p class="soft">Classes as colours over the image; what the masks leave out is dark. Classes by their number in the masks.</p><ul class="legend">${swatches.join("")}</ul><div class="maps">${rows.join("\n")}</div>`;
}

function classTable(classes: EvaluationData["classes"]): string {
  return table({
    caption: "intersection over union of each class, and its pixels in all test images; – where it occurs nowhere",
    columns: ["class in the masks", "IoU", "labelled pixels", "predicted pixels"],
    rows: classes.map(({ stored, iou, labelled, predicted }) => [
      String(stored),
      iou === null ? "–" : formatPercent(iou, 2),
      String(labelled),
      String(predicted),
    ]),
  });
}
