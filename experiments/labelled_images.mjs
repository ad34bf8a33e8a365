// An experiment on labelled grey images in IDX files: k-NN accuracy of every block, with controls.
import { openIdx } from "./idx_files.mjs";
import { pixelAccuracy } from "./pixels.mjs";
import { Steps } from "./steps.mjs";
import { blockNames, spread, table } from "./table.mjs";
import { trainings } from "./trainings.mjs";

/**
 * Runs the trainings and returns the table: a row per kind of features, a column per block.
 *
 * @param options.train, options.test - image files; the labels stand beside them
 */
export async function labelledImages({ folder, train, test, seeds, settings }) {
  const steps = new Steps(folder);
  const pixels = await steps.once("pixels", async () => pixelAccuracy(await openIdx(train), await openIdx(test)));
  const refine = { test, ...settings.refine };
  const made = await trainings(folder, { images: train, seeds, ...settings, refine });
  const measured = { images: train, test };
  const random = await steps.knn("knn_random", { weights: made.random, ...measured });
  const control = await steps.knn("knn_control", { weights: made.control, ...measured });
  const metrics = made.refined.map((result) => result.metrics);
  const [{ before }] = metrics;
  const isUnchanged = metrics.every(({ afterStage2 }) => afterStage2.knn.every((value, i) => value === before.knn[i]));
  const row = (name, lists) => [
    name,
    ...before.knn.map((_, block) => spread(lists.map((accuracies) => 100 * accuracies[block]))),
  ];
  return [
    `Raw pixels: ${(100 * pixels.standardised).toFixed(1)} standardised, ${(100 * pixels.plain).toFixed(1)} as they are.`,
    `Stage 2 left ${isUnchanged ? "every number unchanged" : "NOT every number unchanged"}.`,
    "",
    table([
      ["k-NN, %", ...blockNames(before.knn.length)],
      row("random weights", [random]),
      row(`MAE, ${settings.epochs.mae} epochs: before`, [before.knn]),
      row("after stage 2 (heads only)", [metrics[0].afterStage2.knn]),
      row(
        `after stage 3 (EMA), ${seeds.length} seed${seeds.length > 1 ? "s" : ""}`,
        metrics.map(({ after }) => after.knn),
      ),
      row(`MAE, ${made.controlEpochs} epochs: the same work`, [control]),
    ]),
  ].join("\n");
}
