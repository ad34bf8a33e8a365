import { join } from "node:path";
import { shown } from "../../engine/core/shown.ts";
import { type Output, tableLine } from "../output/streams.ts";
import type { Evaluated } from "./encoder_evaluation.ts";
import type { EvaluationFolder } from "./evaluation_folder.ts";
import type { Difference } from "./evaluation_line.ts";
import { evaluationDataFile, writeEvaluationReport } from "./evaluation_report.ts";
import type { ProtocolResult } from "./protocol.ts";
import { publishedLines } from "./published_part.ts";
import { runAround } from "./run_evaluations.ts";
import { sensitivityTable } from "./sensitivity_table.ts";

/** Prints the numbers of one encoder, with how they were chosen and what there is to say of them. */
export function showEncoder({ result, evaluation }: Evaluated, output: Output): void {
  const { encoder, test, train } = evaluation.receipt;
  for (const row of result.table) output.line(tableLine(row));
  for (const text of [result.selection.text, ...(result.remarks ?? [])]) output.line(shown(text));
  for (const row of sensitivityTable(result.sensitivity)) output.line(tableLine(row));
  const images = train ? `${test.images} test and ${train.images} training images` : `${test.images} test images`;
  output.notice(`${encoder.weights}: ${images} in ${evaluation.seconds.toFixed(1)} s`);
}

/** Prints the figures of the paper beside those that were measured. */
export function showPublished(evaluated: readonly Evaluated[], output: Output): void {
  for (const line of publishedLines(evaluated.map(({ evaluation }) => evaluation.receipt))) output.line(line);
}

/** Leaves what the page shows beside the receipt, so that `mimrefine report` makes it again. */
export async function writeShown(
  { folder }: EvaluationFolder,
  { shown }: ProtocolResult,
  differences: readonly Difference[] = [],
): Promise<void> {
  await folder?.writeText(evaluationDataFile, `${JSON.stringify({ ...shown, differences })}\n`);
}

/** Writes the page of an evaluation that has a folder, and says where it is. */
export async function writePage({ folder }: EvaluationFolder, output: Output): Promise<void> {
  if (!folder) return;
  const path = join(folder.name, "report.html");
  await writeEvaluationReport(folder.name, path);
  output.notice(`page: ${path}`);
  const run = runAround(folder.name);
  if (run !== undefined) output.notice(`into the report of the run: mimrefine report ${run}`);
}
