import { escapeHtml, formatPercent } from "./html.ts";
import { lineChart, type Series } from "./line_chart.ts";
import { stateColours } from "./palette.ts";
import type { KnnLine } from "./run_metrics.ts";

/** Evaluations before, after stage 2 and at the end. */
export interface KnnStates {
  readonly before?: KnnLine;
  readonly afterStage2?: KnnLine;
  readonly after?: KnnLine;
}

/** The last evaluation of each state. */
export function knnStates(lines: readonly KnnLine[]): KnnStates {
  const last = (stage: 1 | 2 | 3): KnnLine | undefined => lines.filter((line) => line.stage === stage).at(-1);
  return { before: last(1), afterStage2: last(2), after: last(3) };
}

/** k-NN accuracy along the encoder before and after, and over the epochs of stage 3 where it was evaluated in between. */
export function knnSection(lines: readonly KnnLine[]): string {
  if (lines.length === 0)
    return `<p class="soft">Not measured: the images have no labels, the run has not come to it yet, or its command measures none (pretrain).</p>`;
  const { before, afterStage2, after } = knnStates(lines);
  const [first] = lines;
  const perBlock = (name: string, colour: string, line: KnnLine | undefined, dash?: string): Series[] =>
    line
      ? [{ name, colour, ...(dash ? { dash } : {}), points: line.accuracy.map((y, block) => ({ x: block, y })) }]
      : [];
  const percent = {
    formatY: (share: number) => formatPercent(share),
    formatTick: (share: number) => formatPercent(share, 0),
  };
  const blocks = lineChart({
    id: "knn-blocks",
    title: "k-NN accuracy of every block",
    yLabel: `${first?.k ?? 20} neighbours`,
    xLabel: "block, 0 is the first",
    description: describe({ before, after }),
    formatX: (block) => String(Math.round(block)),
    ...percent,
    markers: true,
    series: [
      ...perBlock("before", stateColours.before, before, "6 4"),
      ...perBlock("after stage 2 (encoder untouched)", stateColours.afterStage2, afterStage2, "2 4"),
      ...perBlock("after stage 3", stateColours.after, after),
    ],
  });
  const within = lines.filter(({ stage }) => stage === 3);
  const epochs =
    within.length < 2
      ? ""
      : lineChart({
          id: "knn-epochs",
          title: "k-NN accuracy during stage 3",
          yLabel: "best and last block",
          xLabel: "epoch",
          description: "Accuracy of the averaged encoder after each evaluated epoch.",
          ...percent,
          markers: true,
          series: [
            {
              name: "best block",
              colour: stateColours.afterStage2,
              dash: "6 4",
              points: within.map(({ epoch, accuracy }) => ({ x: epoch, y: Math.max(...accuracy) })),
            },
            {
              name: "last block",
              colour: stateColours.after,
              points: within.map(({ epoch, accuracy }) => ({ x: epoch, y: accuracy.at(-1) ?? Number.NaN })),
            },
          ],
        });
  const note = stage2Note(before, afterStage2);
  return `${note}<div class="charts">${blocks}${epochs}</div>`;
}

function describe({ before, after }: KnnStates): string {
  const last = (line: KnnLine | undefined): string => formatPercent(line?.accuracy.at(-1) ?? Number.NaN);
  return before && after
    ? `At the last block ${last(before)} before and ${last(after)} after refinement.`
    : `At the last block ${last(after ?? before)}.`;
}

/** Stage 2 trains heads only, so the encoder's numbers must be the same to the digit. */
function stage2Note(before: KnnLine | undefined, afterStage2: KnnLine | undefined): string {
  if (!before || !afterStage2) return "";
  const isEqual = before.accuracy.every((value, block) => value === afterStage2.accuracy[block]);
  const text = isEqual
    ? "Stage 2 left the encoder as it was: all blocks are equal to the digit."
    : "Warning: stage 2 must not change the encoder, but its accuracy differs; the run is not to be trusted.";
  return `<p class="soft">${escapeHtml(text)}</p>`;
}
