import { InvalidArgumentError } from "commander";
import type { Device } from "../../engine/index.ts";
import { Progress } from "../output/progress.ts";
import { formatBytes, Output } from "../output/streams.ts";
import type { CommandContext } from "../program/context.ts";
import { listenForInterruption } from "../program/interrupt.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { gpuReportPage } from "./gpu_report_page.ts";
import { measureGpu } from "./measure_gpu.ts";
import { type GpuReport, gpuReportSchema, type ReportSection, reportSections } from "./report_schema.ts";
import { writeText } from "./write_text.ts";

export interface GpuReportOptions extends CommonOptions {
  /** The JSON; the page stands beside it. */
  readonly gpuReport: string;
  readonly budget: number;
  readonly only: readonly ReportSection[];
  readonly force: boolean;
}

/** Parses sections of the report with commas; they are measured in their own order. */
export function sectionList(text: string): ReportSection[] {
  const named = text.split(",");
  const isKnown = named.every((name) => reportSections.some((section) => section === name));
  if (!isKnown) throw new InvalidArgumentError(`expected some of ${reportSections.join(",")}.`);
  return reportSections.filter((section) => named.includes(section));
}

/** Measures the adapter and writes the report and its page; after a signal what there is until then. */
export async function writeGpuReport(
  context: CommandContext,
  output: Output,
  options: GpuReportOptions,
): Promise<void> {
  const { gpuReport: file, budget, only, force } = options;
  if (!/\.json$/i.test(file)) throw new UsageError(`--gpu-report ${file}: give a file that ends with .json`);
  const pageFile = file.replace(/\.json$/i, ".html");
  const writes = { "--gpu-report": file, "the page of --gpu-report": pageFile };
  await checkTouchedPaths("bench", { writes, overwrite: force });
  const interruption = listenForInterruption((text) => output.notice(text));
  const { streams } = output;
  let told = output;
  const open = async (): Promise<Device> => {
    const device = await openCommandDevice(options, told);
    told = new Output(streams, { ...output.options, quiet: true }); // what is to be known of the adapter is said once
    return device;
  };
  let overwrite = force;
  const save = async (report: GpuReport): Promise<void> => {
    await writeText(file, `${JSON.stringify(gpuReportSchema.parse(report), undefined, 1)}\n`, overwrite);
    await writeText(pageFile, gpuReportPage(report), overwrite);
    overwrite = true; // from now on they are this report's own
  };
  let progress: Progress | undefined;
  const onTask = (done: number, all: number): void => {
    progress ??= new Progress(output, all, "measurements");
    progress.update(done);
  };
  try {
    const { signal } = interruption;
    const report = await measureGpu({ open, sections: only, budgetSeconds: budget, signal, onTask, save });
    progress?.end();
    await save(report);
    show(report, output, file, pageFile);
    output.result(report);
    context.exitCode = interruption.exitCode() ?? context.exitCode;
  } finally {
    progress?.end();
    interruption.stop();
  }
}

function show(report: GpuReport, output: Output, file: string, pageFile: string): void {
  const { adapter, probes, numbers, operations, steps, notDone, elapsedSeconds } = report;
  const failed = numbers.filter(({ pass }) => !pass).length;
  const timed = operations.flatMap(({ variants }) => variants.filter(({ wallMs }) => wallMs !== null));
  output.pairs([
    ["adapter", `${adapter.name} (${adapter.type})`],
    ["driver", adapter.driver || "unknown"],
    [
      "peaks",
      probes ? `${probes.gflops.toFixed(1)} GFLOP/s, ${probes.gigabytesPerSecond.toFixed(1)} GB/s` : "not measured",
    ],
    ["numbers", `${numbers.length - failed} of ${numbers.length} comparisons within their bounds`],
    ["operations", `${timed.length} variants of ${operations.length} operations and shapes`],
    ["not done", `${notDone.length} measurements; the report says why`],
    ["time", `${elapsedSeconds.toFixed(0)} s`],
  ]);
  if (steps.length > 0) {
    output.line();
    output.table([
      ["step", "ms", "GFLOP/s", "held", ""],
      ...steps.map(({ model, step, batch, precision, stepMs, gflops, heldBytes, error }) => [
        `${model} ${step}, batch ${batch}, ${precision}`,
        stepMs?.toFixed(1) ?? "-",
        gflops?.toFixed(1) ?? "-",
        heldBytes === null ? "-" : formatBytes(heldBytes),
        error ?? "",
      ]),
    ]);
  }
  output.line();
  output.line(`Written: ${file} and ${pageFile}. They name no user, host or path.`);
}
