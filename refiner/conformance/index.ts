import type { Device } from "../../engine/index.ts";
import type { Precision } from "../../models/index.ts";
import { type Exchange, oneRank } from "../exchange/exchange.ts";
import { cases } from "./cases.ts";
import { checkCheckpoints } from "./checkpoints.ts";
import type { NotCompared } from "./coverage.ts";
import { type FixtureFolder, GoldenCase, type GoldenRow } from "./fixture.ts";

export { goldenBounds } from "./bounds.ts";
export type { NotCompared } from "./coverage.ts";
export type { FixtureFolder, GoldenRow } from "./fixture.ts";

/** The case whose files stand in a folder of their own, described by its `expected.json`. */
const checkpointsCase = "checkpoints";
/** The case that all ranks check together. */
const sharedCase = "distributed";

export interface GoldenReport {
  readonly rows: readonly GoldenRow[];
  /** The cases that were run. */
  readonly cases: readonly CaseReport[];
  /** Cases of the folder that the code has no check for. */
  readonly unsupported: readonly string[];
  /** Cases that an error ended before all was compared; each has a failed row without a tensor's name. */
  readonly stopped: readonly StoppedCase[];
}

/** How much of one case was compared. */
export interface CaseReport {
  readonly case: string;
  /** Comparisons, those that failed among them. */
  readonly compared: number;
  readonly failed: number;
  /** What its files hold beside the compared results and the inputs that these were computed from. */
  readonly notCompared: readonly NotCompared[];
}

export interface GoldenOptions {
  /** Names of cases to run; all if left out. */
  readonly only?: readonly string[];
  /** Of encoders and decoders; heads and losses are f32 in any case. Default f32. */
  readonly precision?: Precision;
  /** Of the processes that check together what several ranks do; the first one checks all the rest. Default: this one alone. */
  readonly exchange?: Exchange;
}

export interface StoppedCase {
  readonly case: string;
  readonly message: string;
}

/** What a case found, and the error that ended it. */
interface Findings {
  readonly rows: GoldenRow[];
  notCompared: readonly NotCompared[];
  error?: unknown;
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
  const { only, precision = "f32", exchange = oneRank } = options;
  if (precision === "f16") device.requireFeature("checkFixtures", "shader-f16");
  const files = await folder.files();
  const isWanted = (name: string): boolean =>
    (!only || only.includes(name)) && (exchange.rank === 0 || name === sharedCase);
  const unsupported: string[] = [];
  const found = new Map<string, Findings>();
  for (const name of caseNames(files).filter(isWanted)) {
    const findings = await runCase(device, folder, name, { precision, exchange });
    if (findings) found.set(name, findings);
    else unsupported.push(name);
  }
  if (files.includes(checkpointsCase) && isWanted(checkpointsCase))
    found.set(checkpointsCase, await runCheckpoints(folder.folder(checkpointsCase)));
  return { ...summaryOf(found), unsupported };
}

/** @returns undefined for a case that nothing is known of */
async function runCase(
  device: Device,
  folder: FixtureFolder,
  name: string,
  { precision, exchange }: { readonly precision: Precision; readonly exchange: Exchange },
): Promise<Findings | undefined> {
  const findings: Findings = { rows: [], notCompared: [] };
  let golden: GoldenCase | undefined;
  try {
    golden = await GoldenCase.open(device, folder, name, precision, exchange);
    const check = cases[name] ?? cases[golden.statedName];
    if (!check) return undefined;
    try {
      await check.run(golden);
    } finally {
      findings.rows.push(...golden.rows);
      findings.notCompared = golden.notCompared(check.inputs);
    }
  } catch (error) {
    if (exchange.size > 1 && name === sharedCase) throw error; // the other ranks wait for this one
    findings.error = error;
  } finally {
    await golden?.tensors?.close();
  }
  return findings;
}

async function runCheckpoints(folder: FixtureFolder): Promise<Findings> {
  const findings: Findings = { rows: [], notCompared: [] };
  try {
    findings.notCompared = await checkCheckpoints(folder, checkpointsCase, (row) => findings.rows.push(row));
  } catch (error) {
    findings.error = error;
  }
  return findings;
}

function summaryOf(found: ReadonlyMap<string, Findings>): Pick<GoldenReport, "rows" | "cases" | "stopped"> {
  const all = [...found].map(([name, { rows, notCompared, error }]) => {
    const stopped = error === undefined ? [] : [{ case: name, message: messageOf(error) }];
    const failure = { case: name, tensor: "", maxError: Number.POSITIVE_INFINITY, bound: 0, pass: false };
    return { name, rows: [...stopped.map(() => failure), ...rows], notCompared, stopped };
  });
  return {
    rows: all.flatMap(({ rows }) => rows),
    stopped: all.flatMap(({ stopped }) => stopped),
    cases: all.map(({ name, rows, notCompared }) => ({
      case: name,
      compared: rows.length,
      failed: rows.filter(({ pass }) => !pass).length,
      notCompared,
    })),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Every case has a JSON file, a file of tensors, or both. */
function caseNames(files: readonly string[]): string[] {
  const names = files.flatMap((file) => /^(.+)\.(?:json|safetensors)$/.exec(file)?.[1] ?? []);
  return [...new Set(names)].sort();
}

/** Names of the cases that can be checked. */
export const goldenCases: readonly string[] = [...Object.keys(cases), checkpointsCase];
