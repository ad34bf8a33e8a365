import { formatPercent } from "./html.ts";
import { lineChart } from "./line_chart.ts";
import { stateColours } from "./palette.ts";
import type { TestLine } from "./run_metrics.ts";

/** Top-1 accuracy over the epochs of a fine-tuning. */
export function accuracySection(tests: readonly TestLine[]): string {
  const last = tests.at(-1);
  if (!last) return `<p class="soft">Not measured: there were no test images, or the run has not come to it yet.</p>`;
  const best = tests.reduce((most, test) => (test.accuracy > most.accuracy ? test : most));
  const note =
    best.accuracy > last.accuracy
      ? ` The best epoch was ${best.epoch} with ${formatPercent(best.accuracy)}; it is chosen on the test images.`
      : "";
  const chart = lineChart({
    id: "accuracy",
    title: "Top-1 accuracy on the test images",
    yLabel: "share of the images",
    xLabel: "epoch",
    description: `${formatPercent(last.accuracy)} of ${last.images} images after epoch ${last.epoch}.${note}`,
    formatY: (share) => formatPercent(share),
    formatTick: (share) => formatPercent(share, 0),
    markers: true,
    series: [
      {
        name: "top-1",
        colour: stateColours.after,
        points: tests.map(({ epoch, accuracy }) => ({ x: epoch, y: accuracy })),
      },
    ],
  });
  return `<div class="charts">${chart}</div>`;
}
