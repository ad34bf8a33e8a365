import type { LinearProbeConfig } from "../probes/probe_config.ts";
import type { ProbeHead } from "../probes/probe_grid.ts";
import type { LinearProbeResult } from "../probes/probe_outcome.ts";
import { choosingCounts } from "../probes/probe_scores.ts";
import { type Sensitivity, type SensitivityVariant, sensitivityOf } from "./sensitivity.ts";

type Found = Pick<
  LinearProbeResult,
  "heads" | "compared" | "scores" | "images" | "chosen" | "lastEpoch" | "testMaximum"
>;

/**
 * Test accuracy of a finished linear probe, had its grid been another: with one other input alone (pooling, last block or last four, with
 * or without the last norm), with the next smaller or larger rate, tested after the last epoch, or chosen on the test images. The heads
 * tell it that were trained: those of the grid, and those that `linearProbe` trains beside them with `sensitivity`.
 *
 * @returns undefined for a probe that is not finished
 */
export function probeSensitivity(found: Found, select: LinearProbeConfig["select"]): Sensitivity | undefined {
  const { chosen, lastEpoch, testMaximum } = found;
  const heads = [...found.heads, ...found.compared];
  if (!chosen || !lastEpoch || !testMaximum) return undefined;
  const { feature, rate } = chosen.head;
  const among = (setting: string, value: string, isMeant: (head: ProbeHead) => boolean): SensitivityVariant[] => {
    const score = bestAmong(found, select, isMeant);
    return score === undefined ? [] : [{ setting, value, score }];
  };
  const others = [...new Set(heads.map((head) => head.feature))].filter((other) => other !== feature);
  return sensitivityOf("accuracy", chosen.test, [
    ...others.flatMap((other) => {
      const input = inputOf(heads, other);
      const isUnnormed = input === `${inputOf(heads, feature)} raw`;
      const [setting, value] = isUnnormed ? (["last norm", "without"] as const) : (["input", input] as const);
      return among(setting, value, (head) => head.feature === other);
    }),
    ...[-1, 1].flatMap((step) => {
      const isMeant = (head: ProbeHead) => head.feature === feature && head.rate === rate + step;
      return among("rate", `one step ${step < 0 ? "smaller" : "larger"}`, isMeant);
    }),
    { setting: "epoch", value: "last", score: lastEpoch.test },
    ...(select === "test" ? [] : [{ setting: "chosen on", value: "test images", score: testMaximum.test }]),
  ]);
}

/** A head is called by its input and rate. */
function inputOf(heads: readonly ProbeHead[], feature: number): string {
  return heads.find((head) => head.feature === feature)?.name.split(", rate")[0] ?? "";
}

/** Test accuracy of the head and epoch that are best on the images that choose; of equals the earliest. */
function bestAmong(
  { heads: own, compared, scores, images }: Found,
  select: LinearProbeConfig["select"],
  isMeant: (head: ProbeHead) => boolean,
): number | undefined {
  const heads = [...own, ...compared];
  let best = { correct: -1, test: 0 };
  for (const epoch of scores) {
    choosingCounts(epoch, select).forEach((correct, place) => {
      const head = heads[place];
      if (head && isMeant(head) && correct > best.correct) best = { correct, test: epoch.test[place] ?? 0 };
    });
  }
  return best.correct < 0 ? undefined : best.test / images.test;
}
