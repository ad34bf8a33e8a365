import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ifThere } from "../../engine/platform/files_node.ts";
import type { EvaluationReport } from "../../refiner/report/index.ts";
import { readRun } from "../../refiner/report/report_node.ts";
import { weightsFingerprint } from "../checkpoints/weights_digest.ts";
import type { Output } from "../output/streams.ts";
import { UsageError } from "../program/usage_error.ts";
import { fingerprintSchema } from "../runs/fingerprint.ts";
import { comparedPart } from "../runs/run_folder.ts";
import { configFile } from "../runs/stored_run.ts";
import { differencesOf } from "./comparison.ts";
import type { Difference, Receipt } from "./evaluation_line.ts";
import { holdsReceipt, pairedDifferences, readReceipt, reportOf } from "./evaluation_report.ts";
import { protocolDifferences } from "./receipt.ts";

/** Where the evaluations of a run are looked for without being told, in its folder. */
const evaluationsFolder = "evaluations";

/** The run whose report looks for evaluations where this one stands. */
export function runAround(folder: string): string | undefined {
  const [above, run] = [dirname(resolve(folder)), join(folder, "..", "..")];
  return basename(above) === evaluationsFolder && existsSync(join(run, configFile)) ? run : undefined;
}

/** A receipt and where it stands. */
interface Found {
  readonly folder: string;
  readonly receipt: Receipt;
}

type State = "before" | "after";

/**
 * Evaluations of the encoder that a run began with and of the one that it gave, for its report: those in RUN/evaluations and in the
 * given folders whose receipts state the digest of these weights. What they are called has no part in it.
 *
 * @param folders - evaluations, or folders with an evaluation each in their folders
 * @throws UsageError for a given folder without evaluations, or a damaged receipt; what the system says of what is there and cannot be read
 */
export async function evaluationsOfRun(
  run: string,
  folders: readonly string[],
  output: Output,
): Promise<EvaluationReport[]> {
  const found = await receiptsIn(join(run, evaluationsFolder));
  for (const folder of folders) {
    const receipts = await receiptsIn(folder);
    if (receipts.length === 0)
      throw new UsageError(
        `report: ${folder} holds no receipt.json, nor do its folders; give what evaluate --out wrote (--evaluations)`,
      );
    found.push(...receipts);
  }
  if (found.length === 0) return [];
  const stateOf = await statesOf(run);
  const known = found.flatMap((one): (Found & { readonly state: State })[] => {
    const state = stateOf(one.receipt);
    if (state) return [{ ...one, state }];
    output.notice(`${one.folder}: other weights than those of the run; left out`);
    return [];
  });
  const groups = grouped(known, output);
  const reports: EvaluationReport[] = [];
  for (const group of groups) reports.push(await reportOfStates(group));
  return reports;
}

/** Receipts of a folder and of the folders in it, with those of second encoders. */
async function receiptsIn(folder: string): Promise<Found[]> {
  const inside = (await ifThere(readdir(folder, { withFileTypes: true }))) ?? [];
  const below = inside.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
  const found: Found[] = [];
  for (const path of [folder, ...below.sort().flatMap((one) => [one, join(one, comparedPart)])])
    if (await holdsReceipt(path)) found.push({ folder: path, receipt: await readReceipt("report", path) });
  return found;
}

/** Weights that runs give: refinements, pre-trainings and fine-tunings. */
const resultFiles = ["encoder.safetensors", "mae.safetensors", "classifier.safetensors"];

/** Tells which of a run's encoders a receipt is of, by the digests of the weights' files. */
async function statesOf(run: string): Promise<(receipt: Receipt) => State | undefined> {
  const { data } = fingerprintSchema.safeParse((await readRun(run)).config.fingerprint);
  const given = resultFiles.map((file) => ifThere(weightsFingerprint(join(run, file))));
  const after = await Promise.all(given);
  const isSame = (digest: Readonly<Record<string, string>> | undefined, receipt: Receipt): boolean => {
    const entries = Object.entries(digest ?? {});
    return entries.length > 0 && entries.every(([key, value]) => receipt.encoder.digest[key] === value);
  };
  return (receipt) => {
    if (after.some((digest) => isSame(digest, receipt))) return "after";
    return isSame(data?.weights, receipt) ? "before" : undefined;
  };
}

type Group = Partial<Readonly<Record<State, Found>>>;

/** Before and after of one protocol with the same settings and images; of several alike the first, with a notice. */
function grouped(found: readonly (Found & { readonly state: State })[], output: Output): Group[] {
  const groups: Partial<Record<State, Found>>[] = [];
  for (const { state, ...one } of found) {
    const like = groups.find((group) => {
      const other = group.before ?? group.after;
      return other && protocolDifferences(other.receipt, one.receipt).length === 0;
    });
    const shown = like?.[state];
    if (shown) output.notice(`${one.folder}: evaluates the same weights in the same way as ${shown.folder}; left out`);
    else if (like) like[state] = one;
    else groups.push({ [state]: one });
  }
  return groups;
}

async function reportOfStates({ before, after }: Group): Promise<EvaluationReport> {
  const [first, ...others] = [
    ...(before ? [{ name: "before", ...before }] : []),
    ...(after ? [{ name: "after", ...after }] : []),
  ];
  if (!first) throw new RangeError("report: a group of evaluations is empty");
  const differences = before && after ? [await differencesBetween(before, after)] : [];
  const names = [first, ...others].map(({ name }) => name);
  return reportOf([first.receipt, ...others.map(({ receipt }) => receipt)], differences, names);
}

/** Image by image where one comparison measured both. */
async function differencesBetween(before: Found, after: Found): Promise<readonly Difference[]> {
  if (after.folder === join(before.folder, comparedPart)) {
    const paired = await pairedDifferences(before.folder);
    if (paired.length > 0) return paired;
  }
  if (before.folder === join(after.folder, comparedPart)) {
    const paired = await pairedDifferences(after.folder);
    if (paired.length > 0) return paired.map((one) => ({ ...one, difference: -one.difference }));
  }
  return differencesOf(before.receipt, after.receipt);
}
