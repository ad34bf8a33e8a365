import type { FewUpdatesAdvice, RefineConfig, RefineEvent, RefineResult } from "../../refiner/index.ts";
import { knnLine } from "../evaluation/knn_table.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";
import { settingFlag } from "../program/settings.ts";

/** Seconds that a part of a run took. */
interface Timing {
  readonly name: string;
  readonly seconds: number;
}

const moments = { 1: "before", 2: "after stage 2", 3: "stage 3, moving average" } as const;

/**
 * Shows the progress of a run on stderr until it ends.
 *
 * @param onStart - called before the run writes anything, once its options proved right
 */
export async function followRefinement(
  run: AsyncGenerator<RefineEvent, RefineResult>,
  config: RefineConfig,
  output: Output,
  onStart: () => Promise<void>,
): Promise<{ readonly result: RefineResult; readonly timings: readonly Timing[] }> {
  let progress: Progress | undefined;
  let stage = 0;
  let last = performance.now();
  const seconds = new Map<string, number>();
  const spent = (part: string): void => {
    const now = performance.now();
    seconds.set(part, (seconds.get(part) ?? 0) + (now - last) / 1000);
    last = now;
  };
  for (;;) {
    const next = await run.next();
    if (next.done) {
      progress?.end();
      return { result: next.value, timings: [...seconds].map(([name, total]) => ({ name, seconds: total })) };
    }
    const event = next.value;
    switch (event.kind) {
      case "start":
        await onStart();
        if (event.fewUpdates) output.notice(fewUpdatesText(event.fewUpdates, config));
        break;
      case "update":
        spent(`stage ${event.stage}`);
        if (event.stage !== stage) {
          progress?.end();
          output.notice(`stage ${event.stage}: ${event.of} updates`);
          progress = new Progress(output, event.of, "updates", event.update - 1);
          stage = event.stage;
        }
        progress?.update(event.update);
        break;
      case "knn":
        spent("k-NN evaluations");
        progress?.end();
        output.notice(`k-NN per block, ${moments[event.stage]}: ${knnLine(event.accuracy)}`);
        break;
      case "broken":
        progress?.end();
        output.warning(`left out: ${event.text}`);
        break;
      case "notice":
        progress?.end();
        output.notice(event.text);
        break;
      case "checkpoint":
        spent("checkpoints");
    }
  }
}

/** That few updates are planned, and the options that would make them enough. */
export function fewUpdatesText({ plannedUpdates, images, settings }: FewUpdatesAdvice, config: RefineConfig): string {
  const flags = Object.entries(settings).map(([key, value]) => `${settingFlag(key)} ${value}`);
  return `only ${plannedUpdates} updates are planned (${images} images, batch ${config.batch}); queues and moving average need about 2,000 to settle. For this set, give ${flags.join(" ")}; --preset small is a recipe for small sets`;
}
