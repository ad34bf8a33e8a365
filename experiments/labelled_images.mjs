// An experiment on labelled grey images in IDX files: k-NN accuracy of every block, with controls.
import { join } from "node:path";
import { openIdx } from "./idx_files.mjs";
import { pixelAccuracy } from "./pixels.mjs";
import { Steps } from "./steps.mjs";
import { spread, table } from "./table.mjs";
import { trainings } from "./trainings.mjs";

/**
 * Runs the trainings with every seed and returns the table: a row per kind of features, a column per block.
 *
 * @param options.train, options.test - image files; the labels stand beside them
 */
export async function labelledImages({ folder, train, test, seeds, settings }) {
  const pixels = await new Steps(folder).once("pixels", async () =>
    pixelAccuracy(await openIdx(train), await openIdx(test)),
  );
  const results = [];
  for (const seed of seeds) {
    const steps = new Steps(join(folder, `seed${seed}`));
    const refine = { test, ...settings.refine };
    const made = await trainings(steps, { images: train, seed, ...settings, refine });
    const measured = { images: train, test };
    results.push({
      random: await steps.knn("knn_random", { weights: made.random, ...measured }),
      before: made.knn.before.knn,
      afterStage2: made.knn.afterStage2.knn,
      after: made.knn.after.knn,
      control: await steps.knn("knn_control", { weights: made.control, ...measured }),
      controlEpochs: made.controlEpochs,
    });
  }
  const [first] = results;
  const row = (name, of) => [
    name,
    ...first.before.map((_, block) => spread(results.map((result) => 100 * of(result)[block]))),
  ];
  const unchanged = results.every(({ before, afterStage2 }) => before.every((value, i) => value === afterStage2[i]));
  return [
    `Raw pixels: ${(100 * pixels.standardised).toFixed(1)} standardised, ${(100 * pixels.plain).toFixed(1)} as they are. Stage 2 left every number ${unchanged ? "unchanged" : "CHANGED"}.`,
    "",
    table([
      ["k-NN, %", ...first.before.map((_, block) => (block === first.before.length - 1 ? "last" : `block ${block}`))],
      row("random weights", ({ random }) => random),
      row(`MAE, ${settings.epochs.mae} epochs: before`, ({ before }) => before),
      row("after stage 2 (heads only)", ({ afterStage2 }) => afterStage2),
      row("after stage 3 (EMA): refined", ({ after }) => after),
      row(`MAE, ${first.controlEpochs} epochs: the same work`, ({ control }) => control),
    ]),
  ].join("\n");
}
