import { escapeHtml, factList, formatNumber, formatPercent, table } from "../../refiner/report/html.ts";
import { type PageSection, page } from "../../refiner/report/page.ts";
import { rooflineChart } from "../../refiner/report/roofline_chart.ts";
import { formatBytes } from "../output/streams.ts";
import type { GpuReport, ReportedNumber, ReportedOperation, ReportedStep, ReportedVariant } from "./report_schema.ts";

/** A report as one HTML file that stands alone. */
export function gpuReportPage(report: GpuReport): string {
  const { adapter, probes, numbers, operations, steps, tuning, notDone } = report;
  const sections: PageSection[] = [
    ["adapter", "Adapter", adapterSection(report)],
    ["steps", "Whole steps", steps.length > 0 ? stepTable(steps) + kernelTables(steps) : none],
    ["operations", "Operations", operations.length > 0 ? chart(report) + operationTable(operations) : none],
    ["numbers", "Numbers against float64", numbers.length > 0 ? numberTable(numbers) : none],
    ["tuning", "The tuner's choices", tuning ? tuningTable(tuning) : none],
    ["not-done", "Not done", notDone.length > 0 ? notDoneTable(notDone) : "<p>Nothing was left out.</p>"],
  ];
  const failed = numbers.filter(({ pass }) => !pass).length;
  const opening = factList([
    ["Arithmetic peak", probes ? `${formatNumber(probes.gflops)} GFLOP/s` : "–", "independent f32 multiply-adds"],
    ["Copy", probes ? `${formatNumber(probes.gigabytesPerSecond)} GB/s` : "–", "bytes read and written"],
    ["Comparisons", `${numbers.length - failed} of ${numbers.length}`, "within their bounds"],
    ["Time taken", `${formatNumber(report.elapsedSeconds)} s`, report.isComplete ? "complete" : "not complete"],
  ]);
  return page({
    title: `${adapter.name}: GPU report`,
    heading: adapter.name,
    opening,
    sections,
    footer: `<p>Measured by <code>mimrefine bench --gpu-report</code>, version ${escapeHtml(report.version)}.</p>`,
  });
}

const none = `<p class="soft">Not measured.</p>`;

function adapterSection({ adapter, machine }: GpuReport): string {
  const { features, limits, matrixConfigurations, subgroupSize, subgroupRange, ...names } = adapter;
  const subgroups = subgroupSize === null ? (subgroupRange?.join(" … ") ?? "none") : String(subgroupSize);
  const rows: (readonly [string, string])[] = [
    ...Object.entries(names),
    ["subgroups", subgroups],
    ["matrices of subgroups", matrixConfigurations.join("; ") || "none"],
    ["features", features.join(", ")],
    ["processor", `${machine.processor}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}`],
    ["system", `${machine.platform} ${machine.architecture}, ${machine.runtime}`],
  ];
  const limitRows = Object.entries(limits).map(([name, value]) => [name, String(value)]);
  return (
    table({ caption: "What the adapter says of itself", columns: ["", "value"], rows }) +
    table({ caption: "Limits", columns: ["limit", "value"], rows: limitRows })
  );
}

function number(value: number | null): string {
  return value === null ? "–" : formatNumber(value);
}

function share(value: number | null): string {
  return value === null ? "–" : formatPercent(value);
}

function bytes(value: number | null): string {
  return value === null ? "–" : formatBytes(value);
}

function titleOf({ model, step, batch, precision }: ReportedStep): string {
  return `${model} ${step}, batch ${batch}, ${precision}`;
}

function stepTable(steps: readonly ReportedStep[]): string {
  return table({
    caption: "Medians; held memory is that of all buffers",
    columns: "step,ms,GFLOP/s,of the peak,launches,moved,planned,held,".split(","),
    rows: steps.map((step) => [
      titleOf(step),
      number(step.stepMs),
      number(step.gflops),
      share(step.arithmeticShare),
      number(step.dispatches),
      bytes(step.bytesMoved),
      bytes(step.plannedBytes),
      bytes(step.heldBytes),
      step.error ?? "",
    ]),
  });
}

/** Kernels of a step that are shown. */
const mostKernels = 12;

function kernelTables(steps: readonly ReportedStep[]): string {
  return steps
    .filter(({ kernels }) => kernels.length > 0)
    .map((step) =>
      table({
        caption: `Kernels that take longest: ${titleOf(step)}`,
        columns: "kernel,launches,ms,GFLOP/s,GB/s".split(","),
        rows: step.kernels
          .slice(0, mostKernels)
          .map(({ kernel, launches, milliseconds, gflops, gigabytesPerSecond }) => [
            kernel,
            String(launches),
            ...[milliseconds, gflops, gigabytesPerSecond].map(formatNumber),
          ]),
      }),
    )
    .join("");
}

function chart({ probes, operations }: GpuReport): string {
  if (!probes) return "";
  const points = operations.flatMap(({ key, flops, bytes: moved, fastest, variants }, i) => {
    const gflops = variants.find(({ variant }) => variant === fastest)?.gflops ?? 0;
    return [{ mark: String(i + 1), name: key, intensity: moved > 0 ? flops / moved : 0, gflops, share: 0.02 }];
  });
  return `<div class="charts">${rooflineChart({ ...probes, points })}</div>`;
}

function operationTable(operations: readonly ReportedOperation[]): string {
  const rows = operations.flatMap((operation, i) => {
    const { key, use, variants, fastest, builtIn } = operation;
    return variants.map((one) => [`${i + 1} ${key}`, use, mark(one, fastest, builtIn), ...timesOf(one)]);
  });
  return table({
    caption: "Variants of every operation; * is the fastest, (built in) what is taken without a measurement",
    columns:
      "operation and shapes,used by,variant,kernels ms,with the way there ms,GFLOP/s,of the peak,GB/s,of the peak,".split(
        ",",
      ),
    rows,
  });
}

function mark({ variant }: ReportedVariant, fastest: string | null, builtIn: string): string {
  return `${variant}${variant === fastest ? " *" : ""}${variant === builtIn ? " (built in)" : ""}`;
}

function timesOf(one: ReportedVariant): string[] {
  return [
    number(one.kernelMs),
    number(one.wallMs),
    number(one.gflops),
    share(one.arithmeticShare),
    number(one.gigabytesPerSecond),
    share(one.bandwidthShare),
    one.error ?? "",
  ];
}

function numberTable(numbers: readonly ReportedNumber[]): string {
  return table({
    caption: "Largest error relative to the largest number",
    columns: "operation,variant,result,error,bound,".split(","),
    rows: numbers.map(({ operation, variant, tensor, maxError, bound, pass, error }) => [
      operation,
      variant ?? "",
      tensor,
      maxError.toExponential(2),
      bound.toExponential(0),
      error ?? (pass ? "ok" : "FAILED"),
    ]),
  });
}

function tuningTable({ elapsedMs, choices }: NonNullable<GpuReport["tuning"]>): string {
  return table({
    caption: `Train step of ti16, ${formatNumber(elapsedMs / 1000)} s`,
    columns: "operation and shapes,choice,from".split(","),
    rows: choices.map(({ key, choice, source }) => [key, choice, source]),
  });
}

function notDoneTable(notDone: GpuReport["notDone"]): string {
  return table({
    caption: "Measurements without a result",
    columns: "section,measurement,reason".split(","),
    rows: notDone.map(({ section, name, reason }) => [section, name, reason]),
  });
}
