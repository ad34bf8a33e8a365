import { totalmem } from "node:os";
import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import { checkKernels, type KernelRow } from "../../engine/self_check/index.ts";
import type { Precision } from "../../models/index.ts";
import { type CaseReport, checkFixtures, type GoldenOptions } from "../../refiner/conformance/index.ts";
import { fixtureFolder } from "../checkpoints/fixture_folder.ts";
import { judgeHashes } from "../gpu_report/judge_hashes.ts";
import { judgeRanks } from "../gpu_report/judge_ranks.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { joinRanks, launchedRank, libraryOfRanks } from "../program/ranks.ts";
import { sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";

interface DoctorOptions extends CommonOptions {
  readonly fixtures?: string;
  readonly mpi?: boolean;
  readonly precision: Precision;
  readonly supported?: boolean;
}

interface Findings {
  readonly rows: readonly KernelRow[];
  readonly unsupported: readonly string[];
  /** With --fixtures. */
  readonly reports?: readonly CaseReport[];
}

/** How long ranks wait for each other, at most. */
const fixturesMinutes = 10;

/** Names of what was not compared that are printed per file; `--json` has all. */
const namesPerLine = 20;

/** `mimrefine doctor` */
export function doctorCommand(context: CommandContext): Command {
  const command = new Command("doctor")
    .summary("check that this machine computes correctly")
    .description(
      "Shows the adapter, its driver, limits and features, and compares kernels with float64 computations: the largest error and its bound for each. With --reproducible, the bits of operations and small trainings are compared with those of the adapters that this version was made on. With --mpi, under a launcher, the ranks are shown, the numbers of their exchanges checked, and the sum of gradients over them measured. With --fixtures, whole models are compared with the authors' numbers instead: how many per case, and what of its files was not compared. The exit code is 1 if anything is off, and while the folder holds a case that this version does not support.",
    )
    .option("--fixtures <folder>", "folder of golden fixtures (NAME.json, NAME.safetensors, checkpoints/)")
    .addOption(
      sharedOption("precision", { more: "with --fixtures; compared within the format's bounds", default: "f32" }),
    )
    .option("--supported", "with --fixtures, a case that this version does not support is no failure")
    .option("--mpi", "check the ranks of a job: mpirun -np 2 node_modules/.bin/mimrefine doctor --mpi")
    .action(async (options: DoctorOptions) => {
      const output = outputOf(context, options);
      checkOptions(options);
      const ranks = await joinRanks("doctor", { exchangeTimeout: fixturesMinutes }, context.args ?? []);
      const device = await openCommandDevice(options, output);
      try {
        if (options.mpi) {
          const job = { exchange: ranks, library: libraryOfRanks() };
          return await judgeRanks(device, job, { context, output });
        }
        showDevice(device, output);
        if (options.reproducible && options.fixtures === undefined) return await judgeHashes(device, context, output);
        const findings =
          options.fixtures === undefined
            ? await kernelFindings(device, output)
            : await fixtureFindings(
                device,
                options.fixtures,
                { precision: options.precision, exchange: ranks },
                output,
              );
        if (ranks.rank > 0) return;
        const pass = judge(findings, options, output);
        const { name, type, backend, driver } = device.info;
        output.result({
          adapter: { name, type, backend, driver },
          cases: findings.rows,
          ...(findings.reports ? { reports: findings.reports } : {}),
          unsupported: findings.unsupported,
          pass,
        });
        context.exitCode = pass ? exitCodes.success : exitCodes.failure;
      } finally {
        device.close();
      }
    });
  return finishCommand(
    command,
    "mimrefine doctor\nmimrefine doctor --adapter software --json\nmimrefine doctor --reproducible\nmpirun -np 2 node_modules/.bin/mimrefine doctor --mpi",
  );
}

function checkOptions({ fixtures, mpi, reproducible, precision, supported }: DoctorOptions): void {
  if (mpi && (fixtures !== undefined || reproducible))
    throw new UsageError("doctor: --mpi, --fixtures and --reproducible are three checks; give one of them");
  if (mpi && !launchedRank())
    throw new UsageError(
      "doctor: --mpi checks the ranks of a job; start it by mpirun -np 2 node_modules/.bin/mimrefine doctor --mpi",
    );
  if (fixtures !== undefined) return;
  if (launchedRank() && !mpi)
    throw new UsageError(
      "doctor: several ranks check their exchanges, or the case distributed; give --mpi or --fixtures, or start it without launcher",
    );
  if (precision === "f16") throw new UsageError("doctor: --precision f16 compares models; give --fixtures, too");
  if (supported) throw new UsageError("doctor: --supported is about the cases of a folder; give --fixtures, too");
}

/** Says what the findings come to. */
function judge({ rows, unsupported }: Findings, options: DoctorOptions, output: Output): boolean {
  const failed = rows.filter((row) => !row.pass);
  const lacks = unsupported.length > 0 && !options.supported;
  if (unsupported.length > 0)
    output.line(
      `not supported by this version: ${unsupported.join(", ")}${lacks ? " (--supported leaves them out of the judgement)" : ""}`,
    );
  if (rows.length === 0)
    output.warning(
      `${options.fixtures}: nothing was compared; give a folder of fixtures (NAME.json, NAME.safetensors, checkpoints/)`,
    );
  else if (failed.length === 0) output.line(`All ${rows.length} comparisons are within their bounds.`);
  else
    output.line(
      `${failed.length} of ${rows.length} comparisons failed: do not trust results of this adapter; try --adapter with another one, or a newer driver.`,
    );
  return failed.length === 0 && rows.length > 0 && !lacks;
}

async function kernelFindings(device: Device, output: Output): Promise<Findings> {
  const rows = await checkKernels(device);
  showRows(rows, output);
  return { rows, unsupported: [] };
}

async function fixtureFindings(
  device: Device,
  folder: string,
  options: GoldenOptions,
  output: Output,
): Promise<Findings> {
  const { rows, cases, unsupported, stopped } = await checkFixtures(device, fixtureFolder(folder), options);
  for (const { case: name, message } of stopped) output.warning(`${name}: stopped: ${message}`);
  showCases(rows, cases, output);
  for (const row of rows)
    if (!row.pass) output.line(`failed: ${row.case} ${row.tensor}: ${row.maxError.toExponential(2)} > ${row.bound}`);
  for (const report of cases) showNotCompared(report, output);
  return { rows, unsupported, reports: cases };
}

/** Per case: how many comparisons, and the one that comes nearest to its bound, or exceeds it most. */
function showCases(rows: readonly KernelRow[], reports: readonly CaseReport[], output: Output): void {
  const worst = worstPerCase(rows);
  output.line();
  output.table([
    ["case", "compared", "nearest to its bound", "largest error", "bound", ""],
    ...reports.map(({ case: name, compared, failed }) => {
      const row = worst.get(name);
      const numbers = [row?.maxError.toExponential(2) ?? "", row?.bound.toExponential(2) ?? ""];
      return [name, String(compared), row?.tensor ?? "", ...numbers, failed > 0 ? `${failed} FAILED` : "ok"];
    }),
  ]);
}

function showNotCompared({ notCompared }: CaseReport, output: Output): void {
  for (const file of new Set(notCompared.map((entry) => entry.file))) {
    const names = notCompared.filter((entry) => entry.file === file).map(({ name }) => name || "the file as a whole");
    const rest = names.length - namesPerLine;
    output.line(
      `not compared: ${file}: ${names.slice(0, namesPerLine).join(", ")}${rest > 0 ? ` and ${rest} more, which --json lists` : ""}`,
    );
  }
}

/** The comparison of each case that comes nearest to its bound, or exceeds it most. */
function worstPerCase(rows: readonly KernelRow[]): ReadonlyMap<string, KernelRow> {
  const worst = new Map<string, KernelRow>();
  const share = ({ maxError, bound }: KernelRow): number => (maxError === 0 ? 0 : maxError / bound);
  for (const row of rows) {
    const known = worst.get(row.case);
    if (!known || share(row) > share(known)) worst.set(row.case, row);
  }
  return worst;
}

function showRows(rows: readonly KernelRow[], output: Output): void {
  output.line();
  output.table([
    ["case", "tensor", "largest error", "bound", ""],
    ...rows.map((row) => [
      row.case,
      row.tensor,
      row.maxError.toExponential(2),
      row.bound.toExponential(0),
      row.pass ? "ok" : "FAILED",
    ]),
  ]);
}

function showDevice(device: Device, output: Output): void {
  const { info, limits, features, subgroupSize, matrices } = device;
  output.pairs([
    ["adapter", info.name],
    ["type", info.type],
    ["backend", info.backend],
    ["driver", info.driver || "unknown"],
    ["vendor", info.vendor || "unknown"],
    [
      "features",
      ["shader-f16", "subgroups", "timestamp-query"].filter((name) => features.has(name)).join(", ") || "none",
    ],
    ["subgroup size", subgroupSize === undefined ? "varies or none" : String(subgroupSize)],
    ["subgroup matrices", shownMatrices(matrices)],
    ["largest buffer", formatBytes(limits.maxBufferSize)],
    ["largest binding", formatBytes(limits.maxStorageBufferBindingSize)],
    ["workgroup memory", formatBytes(limits.maxComputeWorkgroupStorageSize)],
    ["host memory", formatBytes(totalmem())],
    ["workgroup size", String(limits.maxComputeInvocationsPerWorkgroup)],
  ]);
}

/** The products that a subgroup computes at once, as rows × columns × depth; what `--precision f16` gains by them. */
function shownMatrices({ shapes, subgroupSize }: Device["matrices"]): string {
  if (shapes.length === 0) return "none: products run on the ordinary units, with --precision f16, too";
  const sizes = shapes.map(
    (shape) => `${shape.rows}x${shape.columns}x${shape.depth} ${shape.component} -> ${shape.result}`,
  );
  if (subgroupSize === undefined) return `${sizes.join(", ")}; not used: no subgroup size is known to work`;
  const sumsInF32 = shapes.some(({ result }) => result === "f32");
  return `${sizes.join(", ")}; --precision f16 ${sumsInF32 ? "uses them, with f32 sums" : "does not use them: their sums are not f32"}`;
}
