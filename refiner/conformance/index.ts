import type { Device } from "../../engine/index.ts";
import type { Precision } from "../../models/index.ts";
import { checkAugmentations } from "./augment.ts";
import { checkCheckpoints } from "./checkpoints.ts";
import { type FixtureFolder, GoldenCase, type GoldenRow } from "./fixture.ts";
import { checkHead } from "./head.ts";
import { checkKnn } from "./knn.ts";
import { checkMae } from "./mae.ts";
import { checkMetrics } from "./metrics.ts";
import { checkPositions } from "./positions.ts";
import { checkSchedule } from "./schedule.ts";
import { checkTrajectory } from "./trajectory.ts";
import { checkVit } from "./vit.ts";

export type { FixtureFolder, GoldenRow } from "./fixture.ts";
export { goldenBounds } from "./fixture.ts";

/** The checks by the name of their fixture case. */
const checks: Readonly<Record<string, (golden: GoldenCase) => Promise<void>>> = {
  "vit-prenorm": checkVit,
  "vit-postnorm": checkVit,
  mae: checkMae,
  "pos-embed": checkPositions,
  schedule: checkSchedule,
  augment: checkAugmentations,
  "nnclr-head": checkHead,
  "nnclr-topk": checkHead,
  "nnclr-allswap": checkHead,
  knn: checkKnn,
  metrics: checkMetrics,
  "refine-trajectory-stage2": checkTrajectory,
  "refine-trajectory-stage3": checkTrajectory,
};

/** The case whose files stand in a folder of their own, described by its `expected.json`. */
const checkpointsCase = "checkpoints";

export interface GoldenReport {
  readonly rows: readonly GoldenRow[];
  /** Cases of the folder that the code has no check for. */
  readonly unsupported: readonly string[];
  /** Cases that an error ended before all was compared; each has a failed row without a tensor's name. */
  readonly stopped: readonly StoppedCase[];
}

export interface GoldenOptions {
  /** Names of cases to run; all if left out. */
  readonly only?: readonly string[];
  /** Of encoders and decoders; heads and losses are f32 in any case. Default f32. */
  readonly precision?: Precision;
}

export interface StoppedCase {
  readonly case: string;
  readonly message: string;
}

/**
 * Runs every case of a fixture folder. An error in one, such as a damaged file, does not keep the others from running.
 *
 * @throws MissingFeatureError for f16 on a device without it
 */
export async function checkFixtures(
  device: Device,
  folder: FixtureFolder,
  options: GoldenOptions = {},
): Promise<GoldenReport> {
  const { only, precision = "f32" } = options;
  if (precision === "f16") device.requireFeature("checkFixtures", "shader-f16");
  const files = await folder.files();
  const isWanted = (name: string): boolean => !only || only.includes(name);
  const report = { rows: [] as GoldenRow[], unsupported: [] as string[], stopped: [] as StoppedCase[] };
  const stop = (name: string, error: unknown): void => {
    report.stopped.push({ case: name, message: error instanceof Error ? error.message : String(error) });
    report.rows.push({ case: name, tensor: "", maxError: Number.POSITIVE_INFINITY, bound: 0, pass: false });
  };
  for (const name of caseNames(files).filter(isWanted)) {
    let golden: GoldenCase | undefined;
    try {
      golden = await GoldenCase.open(device, folder, name, precision);
      const check = checks[name] ?? checks[golden.statedName];
      if (!check) report.unsupported.push(name);
      await check?.(golden);
    } catch (error) {
      stop(name, error);
    } finally {
      report.rows.push(...(golden?.rows ?? []));
      await golden?.tensors?.close();
    }
  }
  if (files.includes(checkpointsCase) && isWanted(checkpointsCase)) {
    const add = (row: GoldenRow): void => void report.rows.push(row);
    await checkCheckpoints(folder.folder(checkpointsCase), checkpointsCase, add).catch((error: unknown) =>
      stop(checkpointsCase, error),
    );
  }
  return report;
}

/** Every case has a JSON file, a file of tensors, or both. */
function caseNames(files: readonly string[]): string[] {
  const names = files.flatMap((file) => /^(.+)\.(?:json|safetensors)$/.exec(file)?.[1] ?? []);
  return [...new Set(names)].sort();
}

/** Names of the cases that can be checked. */
export const goldenCases: readonly string[] = [...Object.keys(checks), checkpointsCase];
