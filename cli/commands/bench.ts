import { readFile } from "node:fs/promises";
import { Command, Option } from "commander";
import type { Device } from "../../engine/index.ts";
import { refuseSpecialFile } from "../../engine/platform/files_node.ts";
import { type AdapterPeaks, measurePeaks } from "../../engine/tune/adapter_probes.ts";
import { type TunedChoice, tuneProgram } from "../../engine/tune/tune_program.ts";
import type { Precision, VitPreset } from "../../models/index.ts";
import { type BenchStep, benchSteps, recordBenchStep } from "../../refiner/methods/refine/benchmark_step.ts";
import { formatPercent } from "../../refiner/report/html.ts";
import { rooflinePage } from "../../refiner/report/roofline_page.ts";
import { sectionList, writeGpuReport } from "../gpu_report/gpu_report.ts";
import { measureStep, type StepTimes } from "../gpu_report/measure_step.ts";
import { type ReportSection, reportSections } from "../gpu_report/report_schema.ts";
import { writeText } from "../gpu_report/write_text.ts";
import { formatBytes, type Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import { type CommonOptions, openCommandDevice } from "../program/options.ts";
import { positiveNumber, wholeNumber } from "../program/parsers.ts";
import { sharedOption } from "../program/shared_options.ts";
import { checkTouchedPaths } from "../program/touched_paths.ts";
import { UsageError } from "../program/usage_error.ts";
import { refuseIgnoredOptions } from "./bench_options.ts";
import { showKernel } from "./show_kernel.ts";

interface BenchOptions extends Omit<CommonOptions, "tune"> {
  readonly model: VitPreset;
  readonly batch: number;
  readonly step: BenchStep;
  readonly localViews: number;
  readonly precision: Precision;
  readonly repeats: number;
  /** True: measure; false: the built-in choices; undefined: those remembered. */
  readonly tune?: boolean;
  readonly out?: string;
  readonly compare?: string;
  readonly report?: string;
  readonly gpuReport?: string;
  readonly budget: number;
  readonly only: readonly ReportSection[];
  readonly showKernel?: string;
  readonly force: boolean;
}

/** What a run of the command measured: its JSON. */
interface BenchReport extends StepTimes {
  readonly adapter: { readonly name: string; readonly type: string; readonly backend: string; readonly driver: string };
  readonly model: string;
  readonly batch: number;
  readonly step: string;
  readonly precision: Precision;
  readonly peaks: AdapterPeaks;
}

/** `mimrefine bench` */
export function benchCommand(context: CommandContext): Command {
  const command = new Command("bench")
    .summary("measure a step and its kernels on this machine")
    .description(
      "Times whole steps of a model and the kernels in them: GFLOP/s and the share of what the adapter reaches in the simplest kernels, launches, bytes moved, memory planned and taken. Weights are random, images empty.",
    )
    .addOption(sharedOption("model", { default: "ti16" }))
    .addOption(sharedOption("batch", { more: "of the timed step", default: 8 }))
    .addOption(new Option("--step <kind>", "what to time").choices([...benchSteps]).default("forward"))
    .addOption(sharedOption("localViews", { more: "in a refine step", default: 10 }))
    .addOption(sharedOption("precision", { default: "f32" }))
    .option("--repeats <number>", "timed repetitions; medians are shown", wholeNumber(1), 5)
    .option("--tune", "measure the variants of every operation first, remember the fastest and show them")
    .addOption(sharedOption("outFile", { more: "the JSON, for --compare" }))
    .addOption(sharedOption("compare", { more: "JSON of an earlier run" }))
    .option("--report <file>", "also write an HTML page with the kernels under the adapter's roofline")
    .option(
      "--gpu-report <file>",
      "instead of one step measure the adapter as a whole, to a .json file and an .html page that can be sent: probes, numbers against float64, all variants of every operation, steps, memory",
    )
    .addOption(
      new Option("--budget <seconds>", "with --gpu-report, about how long it may take")
        .argParser(positiveNumber)
        .default(540),
    )
    .addOption(
      new Option("--only <sections>", `with --gpu-report, some of ${reportSections.join(",")}`)
        .argParser(sectionList)
        .default([...reportSections], "all"),
    )
    .option("--show-kernel <variant>", "print the WGSL of a product instead, such as shared_128,rows=1576,dtype=f16")
    .addOption(sharedOption("force", { default: false }))
    .action(async (options: BenchOptions) => {
      const output = outputOf(context, options);
      refuseIgnoredOptions(command);
      const { gpuReport, tune: tunes } = options;
      if (options.showKernel !== undefined) return showKernel(options.showKernel, output);
      if (gpuReport !== undefined)
        return writeGpuReport(context, output, { ...options, gpuReport, tune: tunes !== false });
      const before = options.compare === undefined ? undefined : await readReport(options.compare);
      const { out, report: page, force: overwrite } = options;
      await checkTouchedPaths("bench", {
        reads: { "--compare": options.compare },
        writes: { "--out": out, "--report": page },
        overwrite,
      });
      const device = await openCommandDevice({ ...options, tune: options.tune !== false }, output);
      try {
        const choices = await tune(device, options, output);
        const report = await measure(device, options);
        show(report, output);
        if (before) compare(report, before, output);
        output.result({ ...report, ...(options.tune ? { tuning: choices } : {}) });
        if (out !== undefined) await writeText(out, `${JSON.stringify(report)}\n`, overwrite);
        if (page !== undefined) await writeText(page, rooflinePage(report), overwrite);
      } finally {
        device.close();
      }
    });
  return finishCommand(
    command,
    "mimrefine bench --model ti16 --batch 8 --step train --report speed.html\nmimrefine bench --tune --out before.json\nmimrefine bench --gpu-report gpu.json",
  );
}

async function tune(device: Device, options: BenchOptions, output: Output): Promise<TunedChoice[]> {
  if (options.tune !== true) return [];
  const choices = await tuneProgram(device, () => recordBenchStep(device, options));
  output.table([
    ["operation and shapes", "choice", "from", "median of each"],
    ...choices.map(({ key, choice, source, timesMs }) => [
      key,
      choice,
      source,
      Object.entries(timesMs)
        .map(([candidate, ms]) => `${candidate} ${Number.isFinite(ms) ? `${ms.toPrecision(3)} ms` : "-"}`)
        .join(", "),
    ]),
  ]);
  output.line();
  return choices;
}

async function measure(device: Device, options: BenchOptions): Promise<BenchReport> {
  const { model, batch, step, precision } = options;
  const times = await measureStep(device, options);
  const peaks = await measurePeaks(device);
  const { name, type, backend, driver } = device.info;
  return { adapter: { name, type, backend, driver }, model, batch, step, precision, peaks, ...times };
}

function show(report: BenchReport, output: Output): void {
  const { peaks, kernels, stepMs } = report;
  const gigabytes = report.bytesMoved / stepMs / 1e6;
  output.pairs([
    ["adapter", `${report.adapter.name} (${report.adapter.type})`],
    ["peaks", `${peaks.gflops.toFixed(1)} GFLOP/s, ${peaks.gigabytesPerSecond.toFixed(1)} GB/s`],
    [
      "step",
      `${report.model} ${report.step} in ${report.precision}, batch ${report.batch}: ${stepMs.toFixed(1)} ms (median)`,
    ],
    ["script", `${report.scriptMs.toFixed(2)} ms of it in JavaScript`],
    ["arithmetic", `${report.gflops.toFixed(2)} GFLOP/s, ${formatPercent(report.gflops / peaks.gflops)} of the peak`],
    [
      "memory traffic",
      `${formatBytes(report.bytesMoved)} in ${report.dispatches} launches, ${(report.bytesMoved / report.minimumBytes).toFixed(2)} × the least; ${gigabytes.toFixed(2)} GB/s, ${formatPercent(gigabytes / peaks.gigabytesPerSecond)} of the peak`,
    ],
    [
      "memory",
      `${formatBytes(report.plannedBytes)} planned (at least ${formatBytes(report.lowerBoundBytes)}), ${formatBytes(report.actualBytes)} taken`,
    ],
  ]);
  if (kernels.length === 0) {
    output.notice("No times per kernel: the adapter has no timestamp-query.");
    return;
  }
  output.line();
  output.table([
    ["kernel", "launches", "ms", "GFLOP/s", "of the peak", "GB/s", "of the peak"],
    ...kernels.map(({ kernel, launches, milliseconds, gflops, gigabytesPerSecond }) => [
      kernel,
      String(launches),
      milliseconds.toFixed(2),
      ...(gflops > 0 ? [gflops.toFixed(2), formatPercent(gflops / peaks.gflops)] : ["-", "-"]),
      gigabytesPerSecond.toFixed(2),
      formatPercent(gigabytesPerSecond / peaks.gigabytesPerSecond),
    ]),
  ]);
}

function compare(report: BenchReport, before: BenchReport, output: Output): void {
  if (before.adapter.name !== report.adapter.name)
    output.warning(`the earlier run used ${before.adapter.name}, this one ${report.adapter.name}`);
  const old = new Map(before.kernels.map(({ kernel, milliseconds }) => [kernel, milliseconds]));
  const row = (name: string, was: number | undefined, is: number): string[] => [
    name,
    was === undefined ? "-" : was.toFixed(2),
    is.toFixed(2),
    was === undefined || is === 0 ? "-" : `${(was / is).toFixed(2)}x`,
  ];
  output.line();
  output.table([
    ["compared", "before ms", "now ms", "faster"],
    row("step", before.stepMs, report.stepMs),
    ...report.kernels.map(({ kernel, milliseconds }) => row(kernel, old.get(kernel), milliseconds)),
  ]);
}

async function readReport(file: string): Promise<BenchReport> {
  await refuseSpecialFile(file);
  const text = await readFile(file, "utf8").catch(() => {
    throw new UsageError(`--compare ${file}: the file cannot be read; give the JSON that --out wrote`);
  });
  try {
    const report: BenchReport = JSON.parse(text);
    if (Array.isArray(report.kernels) && typeof report.stepMs === "number") return report;
  } catch {
    // Told below, like any other content that is no report.
  }
  throw new UsageError(`--compare ${file}: not a report of this command; give the JSON that --out wrote`);
}
