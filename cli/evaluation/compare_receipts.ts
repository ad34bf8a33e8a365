import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Command } from "commander";
import { refuseSpecialFile, writeBytesAtomic } from "../../engine/platform/files_node.ts";
import { type EvaluationReport, evaluationPage } from "../../refiner/report/index.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import type { CommonOptions } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
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
    .addOption(sharedOption("outFile", { more: "a page with the same tables, .html" }))
    .addOption(sharedOption("force", { default: false }))
    .action((paths: string[], options: CompareOptions) => compare(paths, options, outputOf(context, options)));
  return finishCommand(
    command,
    "mimrefine evaluate compare runs/before runs/after\nmimrefine evaluate compare runs/before runs/after --out comparison.html",
  );
}

interface CompareOptions extends CommonOptions {
  readonly out?: string;
  readonly force: boolean;
}

async function compare(paths: readonly string[], options: CompareOptions, output: Output): Promise<void> {
  const { out, force } = options;
  await checkTouchedPaths("evaluate compare", { writes: { "--out": out }, overwrite: force });
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
  if (out !== undefined) {
    const text = evaluationPage(reportOf([first, ...others], differences));
    await writeBytesAtomic(out, new TextEncoder().encode(text), { overwrite: force });
    output.line(`page: ${out}`);
  }
  output.result({ receipts, differences });
}

/** What the page shows. */
function reportOf(
  receipts: readonly [Receipt, ...Receipt[]],
  differences: readonly ReturnType<typeof differencesOf>[],
): EvaluationReport {
  const [first] = receipts;
  return {
    protocol: first.protocol,
    selection: first.selection.text,
    encoders: receipts.map(({ encoder, version, adapter }) => ({
      name: basename(encoder.weights),
      facts: { file: encoder.weights, digest: encoder.digest.contents ?? "", version, adapter: adapter.name },
    })),
    scores: first.scores.map(({ name }) => ({
      name,
      values: receipts.map(({ scores }) => scores.find((score) => score.name === name)),
      differences: differences.map((list) => {
        const found = list.find((one) => one.name === name);
        return found && { value: found.difference, standardError: found.standardError };
      }),
    })),
    shared: {
      ...Object.fromEntries(Object.entries(first.settings).map(([key, value]) => [key, settingText(value)])),
      seed: String(first.seed),
      "training images": `${first.train.images} of ${first.train.path}`,
      "test images": `${first.test.images} of ${first.test.path}`,
    },
  };
}

function settingText(value: unknown): string {
  if (Array.isArray(value)) return value.map(settingText).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
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
