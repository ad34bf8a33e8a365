import type { FewUpdatesAdvice, RefineConfig, RefineEvent, RefineResult } from "../../refiner/index.ts";
import { knnText } from "../output/knn_table.ts";
import type { Output } from "../output/streams.ts";
import { settingFlag } from "../program/settings.ts";
import { followRun, type Timing } from "./follow_run.ts";

const moments = { 1: "before", 2: "after stage 2", 3: "stage 3, moving average" } as const;

/**
 * Shows the progress of a run on stderr until it ends.
 *
 * @param onStart - called before the run writes anything, once its options proved right
 */
export function followRefinement(
  run: AsyncGenerator<RefineEvent, RefineResult>,
  config: RefineConfig,
  output: Output,
  onStart: () => Promise<void>,
): Promise<{ readonly result: RefineResult; readonly timings: readonly Timing[] }> {
  return followRun(run, output, {
    start: async ({ fewUpdates }) => {
      await onStart();
      if (fewUpdates) output.notice(fewUpdatesText(fewUpdates, config));
    },
    stage: ({ stage, of }) => {
      output.notice(`stage ${stage}: ${of} updates`);
      return "updates";
    },
    knn: ({ stage, accuracy }) => output.notice(knnText(moments[stage], accuracy)),
  });
}

/** That few updates are planned, and the options that would make them enough. */
export function fewUpdatesText({ plannedUpdates, images, settings }: FewUpdatesAdvice, config: RefineConfig): string {
  const flags = Object.entries(settings).map(([key, value]) => `${settingFlag(key)} ${value}`);
  return `only ${plannedUpdates} updates are planned (${images} images, batch ${config.batch}); queues and moving average need about 2,000 to settle. For this set, give ${flags.join(" ")}; --preset small is a recipe for small sets`;
}
