import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ifThere, refuseSpecialFile, writeBytesAtomic } from "../../engine/platform/files_node.ts";
import {
  type EvaluationData,
  type EvaluationReport,
  evaluationDataSchema,
  evaluationPage,
} from "../../refiner/report/index.ts";
import { UsageError } from "../program/usage_error.ts";
import { comparedPart } from "../runs/run_folder.ts";
import { differencesOf } from "./comparison.ts";
import { type Difference, type Receipt, receiptSchema } from "./evaluation_line.ts";
import { namesOfEncoders, publishedTables } from "./published_part.ts";
import { receiptFile } from "./receipt.ts";

/** What the page of an evaluation shows beside the receipts, in its folder. */
export const evaluationDataFile = "evaluation_data.json";

/** Whether a folder is that of a finished evaluation. */
export async function holdsReceipt(folder: string): Promise<boolean> {
  return (await textOf(join(folder, receiptFile))) !== undefined;
}

/**
 * Writes the page of a finished evaluation from what its folder holds; that of a second encoder stands beside the first.
 *
 * @throws UsageError for a file in the folder that is damaged
 */
export async function writeEvaluationReport(folder: string, path: string): Promise<void> {
  const first = await readReceipt("report", folder);
  const inside = join(folder, comparedPart);
  const second = (await holdsReceipt(inside)) ? await readReceipt("report", inside) : undefined;
  const shown = await readShown(folder);
  const differences = second ? [shown.differences.length > 0 ? shown.differences : differencesOf(first, second)] : [];
  const report = reportOf([first, ...(second ? [second] : [])], differences);
  const html = evaluationPage([report], [shown, ...(second ? [await readShown(inside)] : [])]);
  await writeBytesAtomic(path, new TextEncoder().encode(html), { overwrite: true });
}

/** Differences of the second encoder of a comparison, as its folder states them; none for another folder. */
export async function pairedDifferences(folder: string): Promise<EvaluationData["differences"]> {
  return (await readShown(folder)).differences;
}

async function readShown(folder: string): Promise<EvaluationData> {
  const file = join(folder, evaluationDataFile);
  const { data, error } = evaluationDataSchema.safeParse(parsed((await textOf(file)) ?? "{}"));
  if (data) return data;
  const [issue] = error.issues;
  throw new UsageError(
    `report: ${file}, ${issue?.path.join(".")}: ${issue?.message}; delete the file to make a report without pictures`,
  );
}

/** @param path - of a receipt, or of a folder that holds one. @throws UsageError for a file that is no receipt */
export async function readReceipt(command: string, path: string): Promise<Receipt> {
  const file = await stat(path).then(
    (found) => (found.isDirectory() ? join(path, receiptFile) : path),
    () => path,
  );
  const text = await textOf(file);
  if (text === undefined)
    throw new UsageError(
      `${command}: ${file} cannot be read; give a receipt.json, or the folder of an evaluation that is finished`,
    );
  const { data, error } = receiptSchema.safeParse(parsed(text));
  if (data) return data;
  throw new UsageError(
    `${command}: ${file} is no receipt (${error.issues[0]?.path.join(".") || "not JSON"}); give one that evaluate --out wrote`,
  );
}

async function textOf(file: string): Promise<string | undefined> {
  await refuseSpecialFile(file);
  return ifThere(readFile(file, "utf8"));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Scores of clusterings that are no shares. */
const plainNumbers = /^(inertia|silhouette|Davies–Bouldin|Caliński–Harabasz)/;

/**
 * What the page shows of one protocol.
 *
 * @param differences - to the first, per other receipt
 * @param names - of the encoders
 */
export function reportOf(
  receipts: readonly [Receipt, ...Receipt[]],
  differences: readonly (readonly Difference[])[],
  names: readonly string[] = namesOfEncoders(receipts),
): EvaluationReport {
  const [first] = receipts;
  return {
    protocol: first.protocol,
    selection: first.selection.text,
    published: publishedTables(receipts, names),
    encoders: receipts.map(({ encoder, version, adapter }, i) => ({
      name: names[i] ?? "",
      facts: { file: encoder.weights, digest: encoder.digest.contents ?? "", version, adapter: adapter.name },
    })),
    scores: first.scores.map(({ name }) => ({
      name,
      kind: plainNumbers.test(name) ? "number" : "share",
      values: receipts.map(({ scores }) => scores.find((score) => score.name === name)),
      differences: differences.map((list) => {
        const found = list.find((one) => one.name === name);
        return found && { value: found.difference, standardError: found.standardError, how: found.how };
      }),
    })),
    shared: {
      ...Object.fromEntries(Object.entries(first.settings).map(([key, value]) => [key, settingText(value)])),
      seed: String(first.seed),
      ...(first.train ? { "training images": `${first.train.images} of ${first.train.path}` } : {}),
      "test images": `${first.test.images} of ${first.test.path}`,
    },
  };
}

function settingText(value: unknown): string {
  if (Array.isArray(value)) return value.map(settingText).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
