import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { refuseSpecialFile } from "../../engine/platform/files_node.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import type { CommonOptions } from "../program/options.ts";
import { UsageError } from "../program/usage_error.ts";
import { differencesOf } from "./comparison.ts";
import { type Receipt, receiptSchema } from "./evaluation_line.ts";
import { receiptFile, requireSameProtocol } from "./receipt.ts";

/** `mimrefine evaluate compare` */
export function compareCommand(context: CommandContext): Command {
  const command = new Command("compare")
    .summary("set receipts of earlier evaluations side by side")
    .description(
      "Prints the scores of several evaluations beside each other, with the difference to the first and its standard error (from both standard errors, which is too large where the test images are the same; --compare of a protocol pairs them image by image). Receipts of unequal protocols, settings or images are refused, and what differs is named.",
    )
    .argument("<receipts...>", "receipt.json files, or folders that hold one")
    .action((paths: string[], options: CommonOptions) => compare(paths, outputOf(context, options)));
  return finishCommand(command, "mimrefine evaluate compare runs/before runs/after");
}

async function compare(paths: readonly string[], output: Output): Promise<void> {
  if (paths.length < 2) throw new UsageError("evaluate compare: one receipt alone; give two or more");
  const receipts: Receipt[] = [];
  for (const path of paths) receipts.push(await readReceipt(path));
  const [first, ...others] = receipts;
  if (!first) return;
  for (const other of others) {
    requireSameProtocol(first, other);
    warnOfMachines(first, other, output);
  }
  const differences = others.map((other) => differencesOf(first, other));
  output.line(
    ["", ...receipts.flatMap(({ encoder }, i) => [encoder.weights, ...(i === 0 ? [] : ["difference"])])].join("\t"),
  );
  for (const { name } of first.scores) output.line([name, ...cellsOf(name, receipts, differences)].join("\t"));
  output.line(first.selection.text);
  output.result({ receipts, differences });
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
    return [value, found ? `${found.difference < 0 ? "" : "+"}${shown(found.difference, found.standardError)}` : "-"];
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

/** @throws UsageError for a file that is no receipt */
async function readReceipt(path: string): Promise<Receipt> {
  const file = await stat(path).then(
    (found) => (found.isDirectory() ? join(path, receiptFile) : path),
    () => path,
  );
  await refuseSpecialFile(file);
  const text = await readFile(file, "utf8").catch(() => {
    throw new UsageError(
      `evaluate compare: ${file} cannot be read; give a receipt.json, or the folder of an evaluation that is finished`,
    );
  });
  const { data, error } = receiptSchema.safeParse(parsed(text));
  if (data) return data;
  throw new UsageError(
    `evaluate compare: ${file} is no receipt (${error.issues[0]?.path.join(".") || "not JSON"}); give one that evaluate --out wrote`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
