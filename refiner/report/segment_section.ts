import type { EvaluationData, ShownEncoder } from "./evaluation_data.ts";
import { escapeHtml, formatPercent, table } from "./html.ts";
import type { PageSection } from "./page.ts";
import { picture } from "./picture_sections.ts";

/** Overlays and the table of classes, of one encoder or two side by side, as far as there are any. */
export function segmentSections(encoders: readonly ShownEncoder[]): PageSection[] {
  const [first] = encoders;
  if (!first) return [];
  const { overlays, classes } = first.data;
  return [
    ...(overlays.length > 0 ? [["overlays", "Test images", overlayRows(first, encoders)] as const] : []),
    ...(classes.length > 0 ? [["classes", "Classes", classTable(first, encoders)] as const] : []),
  ];
}

type Overlay = EvaluationData["overlays"][number];

function overlayRows({ data }: ShownEncoder, encoders: readonly ShownEncoder[]): string {
  const isOne = encoders.length === 1;
  const rows = data.overlays.map((overlay, i) => {
    const { image, truth } = overlay;
    const ofTruth = picture(truth, `True classes of ${image.label}`);
    const predictions = encoders.map(({ name, data: own }) =>
      predictionOf(own.overlays, overlay, i, isOne ? "" : name),
    );
    // Of one encoder the truth stands last; of two it stands beside the image, above both.
    const pictures = isOne ? [picture(image), ...predictions, ofTruth] : [picture(image), ofTruth, ...predictions];
    return `<div class="card${isOne ? "" : " square"}">${pictures.join("")}</div>`;
  });
  const swatches = data.classes
    .filter(({ stored }) => encoders.some(({ data: own }) => occurs(own, stored)))
    .map(
      ({ stored, colour }) =>
        `<li><svg width="14" height="14" aria-hidden="true"><rect width="14" height="14" fill="${escapeHtml(colour)}"/></svg>class ${stored}</li>`,
    );
  return `<p class="soft">Classes as colours over the image; what the masks leave out is dark. Classes by their number in the masks.</p><ul class="legend">${swatches.join("")}</ul><div class="maps">${rows.join("\n")}</div>`;
}

/** What an encoder says of the same image. @param name - of the encoder; empty where there is one */
function predictionOf(overlays: readonly Overlay[], { image }: Overlay, place: number, name: string): string {
  const own = overlays[place];
  if (!own || own.image.label !== image.label) return "";
  const { predicted } = own;
  const of = `Predicted classes of ${image.label}`;
  return name === "" ? picture(predicted, of) : picture({ ...predicted, label: name }, `${of} by ${name}`);
}

function occurs({ classes }: EvaluationData, stored: number): boolean {
  return classes.some((one) => one.stored === stored && one.iou !== null);
}

function classTable({ data }: ShownEncoder, encoders: readonly ShownEncoder[]): string {
  const isOne = encoders.length === 1;
  const of = (what: string, name: string): string => (isOne ? what : `${what}, ${name}`);
  return table({
    caption: "intersection over union of each class, and its pixels in all test images; – where it occurs nowhere",
    columns: [
      "class in the masks",
      ...encoders.map(({ name }) => of("IoU", name)),
      "labelled pixels",
      ...encoders.map(({ name }) => of("predicted pixels", name)),
    ],
    rows: data.classes.map(({ stored, labelled }) => {
      const found = encoders.map(({ data: own }) => own.classes.find((one) => one.stored === stored));
      return [
        String(stored),
        ...found.map((one) => (one?.iou === null || one?.iou === undefined ? "–" : formatPercent(one.iou, 2))),
        String(labelled),
        ...found.map((one) => (one === undefined ? "–" : String(one.predicted))),
      ];
    }),
  });
}
