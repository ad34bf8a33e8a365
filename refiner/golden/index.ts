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
}

export interface GoldenOptions {
  /** Names of cases to run; all if left out. */
  readonly only?: readonly string[];
  /** Of encoders and decoders; heads and losses are f32 in any case. Default f32. */
  readonly precision?: Precision;
}

/** Runs every case of a fixture folder and compares with the stored numbers. @throws MissingFeatureError for f16 on a device without it */
export async function checkFixtures(
  device: Device,
  folder: FixtureFolder,
  options: GoldenOptions = {},
): Promise<GoldenReport> {
  const { only, precision = "f32" } = options;
  const cases = [
    ...new Set(
      (await folder.files()).filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -".json".length)),
    ),
  ].sort();
  const rows: GoldenRow[] = [];
  const unsupported: string[] = [];
  for (const name of cases) {
    if (only && !only.includes(name)) continue;
    const check = checks[name];
    if (!check) unsupported.push(name);
    else {
      const golden = await GoldenCase.open(device, folder, name, precision);
      await check(golden).finally(() => golden.tensors?.close());
      rows.push(...golden.rows);
    }
  }
  if ((await folder.files()).includes(checkpointsCase) && (!only || only.includes(checkpointsCase))) {
    rows.push(...(await checkCheckpoints(folder.folder(checkpointsCase), checkpointsCase)));
  }
  return { rows, unsupported };
}
/** Names of the cases that can be checked. */
export const goldenCases: readonly string[] = [...Object.keys(checks), checkpointsCase];
