import type { AdapterPeaks, KernelTime } from "../../engine/index.ts";
import { escapeHtml, factList, formatNumber, formatPercent, table } from "./html.ts";
import { page } from "./page.ts";
import { type RooflinePoint, roofAt, rooflineChart } from "./roofline_chart.ts";

/** What the page shows of a measurement. */
export interface RooflineReport {
  readonly adapter: { readonly name: string; readonly type: string; readonly driver: string };
  readonly model: string;
  readonly batch: number;
  readonly step: string;
  readonly peaks: AdapterPeaks;
  readonly stepMs: number;
  /** 10⁹ floating-point operations per second of the whole step. */
  readonly gflops: number;
  readonly dispatches: number;
  readonly bytesMoved: number;
  readonly kernels: readonly KernelTime[];
}

/** A measured step as one HTML file: the roof that the adapter's peaks make, each kernel and the step under it, and a table. */
export function rooflinePage(report: RooflineReport): string {
  const { adapter, model, batch, step, peaks, stepMs, gflops, bytesMoved, kernels } = report;
  const total = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const whole: RooflinePoint = {
    mark: "∑",
    name: "whole step",
    intensity: (gflops * stepMs * 1e6) / bytesMoved,
    gflops,
    share: 1,
    isStep: true,
  };
  const points = kernels.map(
    (kernel, i): RooflinePoint => ({
      mark: String(i + 1),
      name: kernel.kernel,
      intensity: kernel.bytes > 0 ? kernel.flops / kernel.bytes : 0,
      gflops: kernel.gflops,
      share: total > 0 ? kernel.milliseconds / total : 0,
    }),
  );
  const opening = factList([
    ["Time of a step", `${formatNumber(stepMs)} ms`, `median, ${report.dispatches} launches`],
    ["Arithmetic", `${formatNumber(gflops)} GFLOP/s`, `${formatPercent(gflops / peaks.gflops)} of the peak`],
    [
      "Memory traffic",
      `${formatNumber(bytesMoved / stepMs / 1e6)} GB/s`,
      `${formatPercent(bytesMoved / stepMs / 1e6 / peaks.gigabytesPerSecond)} of the peak`,
    ],
    ["Peaks", `${formatNumber(peaks.gflops)} GFLOP/s`, `${formatNumber(peaks.gigabytesPerSecond)} GB/s`],
  ]);
  const heading = `${model} ${step}, batch ${batch}`;
  const none =
    kernels.length === 0 ? `<p class="soft">No times per kernel: the adapter has no timestamp-query.</p>` : "";
  return page({
    title: `${heading}: measured speed`,
    heading,
    opening,
    sections: [
      ["roofline", "Roofline", `<div class="charts">${rooflineChart({ ...peaks, points: [whole, ...points] })}</div>`],
      ["kernels", "Kernels", none || kernelTable(kernels, total, peaks)],
    ],
    footer: `<p>Measured on ${escapeHtml(`${adapter.name} (${adapter.type}; ${adapter.driver})`)} by <code>mimrefine bench</code>.</p>`,
  });
}

function kernelTable(kernels: readonly KernelTime[], totalMs: number, peaks: AdapterPeaks): string {
  const rate = (value: number, peak: number): string[] =>
    value > 0 ? [formatNumber(value), formatPercent(value / peak)] : ["–", "–"];
  return table({
    caption: "Kernels by time; the share of the roof is that of the nearer peak",
    columns: "kernel,launches,ms,of the time,GFLOP/s,of the peak,GB/s,of the peak,of the roof".split(","),
    rows: kernels.map((one, i) => [
      `${i + 1} ${one.kernel}`,
      String(one.launches),
      one.milliseconds.toFixed(2),
      formatPercent(one.milliseconds / totalMs),
      ...rate(one.gflops, peaks.gflops),
      ...rate(one.gigabytesPerSecond, peaks.gigabytesPerSecond),
      formatPercent(roofShare(one, peaks)),
    ]),
  });
}

/** How near a kernel comes to what its ratio of arithmetic and traffic allows. */
export function roofShare({ flops, bytes, gflops, gigabytesPerSecond }: KernelTime, peaks: AdapterPeaks): number {
  if (flops === 0 || bytes === 0) return Math.max(gflops / peaks.gflops, gigabytesPerSecond / peaks.gigabytesPerSecond);
  return gflops / roofAt(flops / bytes, peaks);
}
