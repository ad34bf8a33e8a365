import { lineChart, type Series } from "./line_chart.ts";
import { orderedColours, stateColours } from "./palette.ts";
import type { UpdateLine } from "./run_metrics.ts";

/** Health numbers of a head in the order of the page, and what they say. */
const headMetrics: readonly (readonly [key: string, title: string, description: string])[] = [
  ["loss", "Loss", "Contrastive loss of each head; it should fall and level off."],
  ["globalLoss", "Loss of global views", "The part of the loss that compares global views with each other."],
  ["localLoss", "Loss of local views", "The part of the loss that compares local with global views."],
  ["alignment", "Alignment", "Mean probability of the right pair; near 1 the task has become trivial."],
  ["globalAlignment", "Alignment of global views", "Mean probability of the right pair among global views."],
  ["localAlignment", "Alignment of local views", "Mean probability of the right pair of local and global views."],
  [
    "nnSimilarity",
    "Similarity to the neighbour",
    "Cosine to the nearest entry of the queue; close to 1 for long means collapse.",
  ],
  ["nnAge", "Age of the neighbour", "Images seen since the neighbour entered the queue."],
  [
    "nnAccuracy",
    "Neighbours of the same class",
    "Share of neighbours with the label of their query; only where labels exist, never trained on.",
  ],
];

/**
 * Curves of loss and health per head, learning rates, gradient norms, speed.
 *
 * @param lossUnit - what the loss is where there is only one
 */
export function trainingSection(
  updates: readonly UpdateLine[],
  lossUnit = "mean squared error of the hidden patches",
): string {
  if (updates.length === 0) return `<p class="soft">No update has been made yet.</p>`;
  const steps = positions(updates);
  const heads = [...new Set(updates.flatMap(({ heads }) => Object.keys(heads)))];
  const colours = orderedColours(heads.length);
  const marks = stageMarks(updates, steps);
  const common = { xLabel: "update", marks };
  const chart = (id: string, title: string, yLabel: string, description: string, series: readonly Series[]): string =>
    lineChart({ ...common, id, title, yLabel, description, series });
  const curve = (
    name: string,
    colour: string,
    of: (line: UpdateLine) => number | undefined,
    dash?: string,
  ): Series => ({
    name,
    colour,
    ...(dash ? { dash } : {}),
    points: updates.map((line, i) => ({ x: steps[i] ?? 0, y: of(line) ?? Number.NaN })),
  });
  const perHead = shownMetrics(updates).map(([key, title, description]) =>
    chart(
      `head-${key}`,
      title,
      "per head",
      description,
      heads.map((head, i) =>
        curve(head, colours[i] ?? stateColours.after, (line) => line.heads[head]?.[key], dashes[i % dashes.length]),
      ),
    ),
  );
  const parts = (of: (line: UpdateLine) => Readonly<Record<string, number>>): Series[] => [
    curve("encoder", stateColours.after, (line) => of(line).encoder),
    curve("heads", stateColours.afterStage2, (line) => of(line).heads, "6 4"),
  ];
  const total = chart("loss", "Loss", lossUnit, "It should fall and level off.", [
    curve("loss", stateColours.after, ({ loss }) => loss),
  ]);
  const rest = [
    chart(
      "learning-rate",
      "Learning rate",
      "at the last block",
      "Linear warm-up, then a cosine.",
      parts(({ learningRate }) => learningRate),
    ),
    chart(
      "gradient-norm",
      "Gradient norm",
      "before the update",
      "A sudden rise that stays precedes divergence.",
      parts(({ gradientNorm }) => gradientNorm),
    ),
    chart("speed", "Speed", "images per second", "Images trained per second.", [
      curve("images per second", stateColours.afterStage2, ({ imagesPerSecond }) => imagesPerSecond),
    ]),
    chart(
      "waiting",
      "Waiting for data",
      "share of the time",
      "Near 0 the device is always busy; near 1 decoding is the limit.",
      [curve("share", stateColours.before, ({ waitShare }) => waitShare)],
    ),
  ];
  return `<div class="charts">${[...(heads.length > 0 ? perHead : [total]), ...rest].join("\n")}</div>`;
}

/** Without local views their charts would be empty, and the loss of global views the loss itself. */
function shownMetrics(updates: readonly UpdateLine[]): typeof headMetrics {
  const hasLocalViews = updates.some(({ heads }) => Object.values(heads).some((head) => (head.localLoss ?? 0) !== 0));
  const needless = ["globalLoss", "localLoss", "localAlignment"];
  return hasLocalViews ? headMetrics : headMetrics.filter(([key]) => !needless.includes(key));
}

/** Dash patterns that repeat, beside the colours. */
const dashes: readonly (string | undefined)[] = [undefined, "7 4", "2 3", "10 3 2 3"];

/** Updates counted over both stages. */
function positions(updates: readonly UpdateLine[]): number[] {
  const lengthOfStage2 = updates.reduce((most, { stage, update }) => (stage === 2 ? Math.max(most, update) : most), 0);
  return updates.map(({ stage, update }) => (stage === 3 ? lengthOfStage2 + update : update));
}

function stageMarks(updates: readonly UpdateLine[], steps: readonly number[]): { x: number; label: string }[] {
  const first = updates.findIndex(({ stage }) => stage === 3);
  return first > 0 ? [{ x: steps[first] ?? 0, label: "stage 3" }] : [];
}
