import { totalmem } from "node:os";
import { Command } from "commander";
import type { Device } from "../../engine/index.ts";
import { checkKernels, type KernelRow } from "../../engine/self_check/index.ts";
import type { Precision } from "../../models/index.ts";
import { checkFixtures } from "../../refiner/conformance/index.ts";
import { fixtureFolder } from "../checkpoints/fixture_folder.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { exitCodes } from "../program/exit_codes.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";
import { UsageError } from "../program/usage_error.ts";

interface DoctorOptions extends CommonOptions {
  readonly fixtures?: string;
  readonly precision: Precision;
}

interface Findings {
  readonly rows: readonly KernelRow[];
  readonly unsupported: readonly string[];
}

/** `mimrefine doctor` */
export function doctorCommand(context: CommandContext): Command {
  const command = new Command("doctor")
    .summary("check that this machine computes correctly")
    .description(
      "Shows the adapter, its driver, limits and features, and compares kernels with float64 computations: the largest error and its bound for each. With --fixtures, whole models are compared with the authors' numbers instead. The exit code is 1 if anything is off.",
    )
    .option("--fixtures <folder>", "folder of golden fixtures (NAME.json, NAME.safetensors, checkpoints/)")
    .addOption(
      sharedOption("precision", { more: "with --fixtures; compared within the format's bounds", default: "f32" }),
    )
    .action(async (options: DoctorOptions) => {
      const output = outputOf(context, options);
      if (options.precision === "f16" && options.fixtures === undefined)
        throw new UsageError("doctor: --precision f16 compares models; give --fixtures, too");
      const device = await openCommandDevice(options, output);
      try {
        showDevice(device, output);
        const { rows, unsupported } =
          options.fixtures === undefined
            ? await kernelFindings(device, output)
            : await fixtureFindings(device, options.fixtures, options.precision, output);
        const failed = rows.filter((row) => !row.pass);
        const pass = failed.length === 0 && rows.length > 0;
        if (unsupported.length > 0) output.line(`not supported: ${unsupported.join(", ")}`);
        if (rows.length === 0)
          output.warning(
            `${options.fixtures}: nothing was compared; give a folder of fixtures (NAME.json, NAME.safetensors, checkpoints/)`,
          );
        else if (pass) output.line(`All ${rows.length} comparisons are within their bounds.`);
        else
          output.line(
            `${failed.length} of ${rows.length} comparisons failed: do not trust results of this adapter; try --adapter with another one, or a newer driver.`,
          );
        const { name, type, backend, driver } = device.info;
        output.result({ adapter: { name, type, backend, driver }, cases: rows, unsupported, pass });
        context.exitCode = pass ? exitCodes.success : exitCodes.failure;
      } finally {
        device.close();
      }
    });
  return finishCommand(command, "mimrefine doctor\nmimrefine doctor --adapter software --json");
}

async function kernelFindings(device: Device, output: Output): Promise<Findings> {
  const rows = await checkKernels(device);
  showRows(rows, output);
  return { rows, unsupported: [] };
}

async function fixtureFindings(
  device: Device,
  folder: string,
  precision: Precision,
  output: Output,
): Promise<Findings> {
  const { rows, unsupported, stopped } = await checkFixtures(device, fixtureFolder(folder), { precision });
  for (const { case: name, message } of stopped) output.warning(`${name}: stopped: ${message}`);
  showRows(worstPerCase(rows), output);
  for (const row of rows)
    if (!row.pass) output.line(`failed: ${row.case} ${row.tensor}: ${row.maxError.toExponential(2)} > ${row.bound}`);
  return { rows, unsupported };
}

/** The comparison of each case that comes nearest to its bound, or exceeds it most. */
function worstPerCase(rows: readonly KernelRow[]): KernelRow[] {
  const worst = new Map<string, KernelRow>();
  const share = ({ maxError, bound }: KernelRow): number => (maxError === 0 ? 0 : maxError / bound);
  for (const row of rows) {
    const known = worst.get(row.case);
    if (!known || share(row) > share(known)) worst.set(row.case, row);
  }
  return [...worst.values()];
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
  const { info, limits, features, subgroupSize } = device;
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
    ["largest buffer", formatBytes(limits.maxBufferSize)],
    ["largest binding", formatBytes(limits.maxStorageBufferBindingSize)],
    ["workgroup memory", formatBytes(limits.maxComputeWorkgroupStorageSize)],
    ["host memory", formatBytes(totalmem())],
    ["workgroup size", String(limits.maxComputeInvocationsPerWorkgroup)],
  ]);
}
