import { Command } from "commander";
import { shown as escaped } from "../../engine/core/shown.ts";
import { writeBytesAtomic } from "../../engine/platform/files_node.ts";
import { evaluationPage } from "../../refiner/report/index.ts";
import { type Output, tableLine } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import type { CommonOptions } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { differencesOf } from "./comparison.ts";
import type { Receipt } from "./evaluation_line.ts";
import { readReceipt, reportOf } from "./evaluation_report.ts";
import { publishedLines } from "./published_part.ts";
import { requireSameProtocol } from "./receipt.ts";

/** `mimrefine evaluate compare` */
export function compareCommand(context: CommandContext): Command {
  const command = new Command("compare")
    .summary("set receipts of earlier evaluations side by side")
    .description(
      "Prints the scores of several evaluations beside each other, with the difference to the first and its standard error (from both standard errors, which is too large where the test images are the same; --compare of a protocol pairs them image by image). Receipts of several protocols make a table each; those of one protocol with unequal settings or images are refused, and what differs is named.",
    )
    .argument("<receipts...>", "receipt.json files, or folders that hold one")
    .addOption(sharedOption("outFile", { more: "a page with the same tables, .html" }))
    .addOption(sharedOption("force", { default: false }))
    .action((paths: string[], options: CompareOptions) => compare(paths, options, outputOf(context, options)));
  return finishCommand(
    command,
    "mimrefine evaluate compare runs/before runs/after\nmimrefine evaluate compare knn/before knn/after cluster/before cluster/after --out comparison.html",
  );
}

interface CompareOptions extends CommonOptions {
  readonly out?: string;
  readonly force: boolean;
}

/** Receipts of one protocol; the first is what the others are compared with. */
interface Group {
  readonly receipts: readonly [Receipt, ...Receipt[]];
  /** Per other receipt. */
  readonly differences: readonly ReturnType<typeof differencesOf>[];
}

async function compare(paths: readonly string[], options: CompareOptions, output: Output): Promise<void> {
  const { out, force } = options;
  await checkTouchedPaths("evaluate compare", { writes: { "--out": out }, overwrite: force });
  if (paths.length < 2) throw new UsageError("evaluate compare: one receipt alone; give two or more");
  const receipts: Receipt[] = [];
  for (const path of paths) receipts.push(await readReceipt("evaluate compare", path));
  const groups = groupsOf(receipts, output);
  for (const group of groups) show(group, output);
  if (out !== undefined) {
    const text = evaluationPage(groups.map((group) => reportOf(group.receipts, group.differences)));
    await writeBytesAtomic(out, new TextEncoder().encode(text), { overwrite: force });
    output.line(`page: ${out}`);
  }
  output.result({
    receipts: groups.flatMap((group) => group.receipts),
    differences: groups.flatMap((group) => group.differences),
  });
}

/**
 * Receipts by protocol, in the order in which they came.
 *
 * @throws UsageError where receipts of one protocol are unequal in anything else, or no two are of one protocol
 */
function groupsOf(receipts: readonly Receipt[], output: Output): Group[] {
  const groups = [...new Set(receipts.map(({ protocol }) => protocol))].flatMap((protocol): Group[] => {
    const [first, ...others] = receipts.filter((receipt) => receipt.protocol === protocol);
    if (!first) return [];
    for (const other of others) {
      requireSameProtocol(first, other);
      warnOfMachines(first, other, output);
    }
    return [{ receipts: [first, ...others], differences: others.map((other) => differencesOf(first, other)) }];
  });
  const [first, second] = receipts;
  if (first && second && groups.every((group) => group.differences.length === 0)) requireSameProtocol(first, second);
  return groups;
}

function show({ receipts, differences }: Group, output: Output): void {
  const [first] = receipts;
  const names = receipts.flatMap(({ encoder }, i) => [encoder.weights, ...(i === 0 ? [] : ["difference"])]);
  output.line(tableLine([first.protocol, ...names]));
  for (const { name } of first.scores) output.line(tableLine([name, ...cellsOf(name, receipts, differences)]));
  output.line(escaped(first.selection.text));
  for (const line of publishedLines(receipts)) output.line(line);
}

function cellsOf(
  name: string,
  receipts: readonly Receipt[],
  differences: readonly ReturnType<typeof differencesOf>[],
): string[] {
  return receipts.flatMap(({ scores }, i) => {
    const score = scores.find((one) => one.name === name);
    const value = score ? shown(score.value, score.standardError) : "-";
    if (i === 0) return [value];
    const found = differences[i - 1]?.find((one) => one.name === name);
    if (!found) return [value, "-"];
    const sign = found.difference < 0 ? "" : "+";
    const hint = found.how === "paired" || found.standardError === null ? "" : ", unpaired";
    return [value, `${sign}${shown(found.difference, found.standardError)}${hint}`];
  });
}

function shown(value: number, standardError: number | null): string {
  return `${value.toFixed(4)}${standardError === null ? "" : ` ± ${standardError.toFixed(4)}`}`;
}

/** Numbers of another version or adapter may be compared, but differ in their last digits for other reasons, too. */
function warnOfMachines(first: Receipt, other: Receipt, output: Output): void {
  for (const [what, one, another] of [
    ["version", first.version, other.version],
    ["adapter", first.adapter.name, other.adapter.name],
  ] as const)
    if (one !== another) output.warning(`${what}: ${one} and ${another}`);
}
