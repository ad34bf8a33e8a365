import { arch, cpus, platform, totalmem } from "node:os";
import process from "node:process";
import type { Device } from "../../engine/index.ts";
import { operationsWithVariants, variantNames } from "../../engine/ops/choose_variant.ts";
import packageJson from "../../package.json" with { type: "json" };
import { DeviceKeeper } from "./device_keeper.ts";
import { namelessMessage } from "./nameless.ts";
import { type GpuReport, type ReportSection, reportFormat } from "./report_schema.ts";
import { type ReportTask, reportTasks } from "./report_tasks.ts";

export interface MeasureOptions {
  /** Opens a device of the adapter that is measured. */
  readonly open: () => Promise<Device>;
  readonly sections: readonly ReportSection[];
  readonly budgetSeconds: number;
  /** Ends the report after the current measurement. */
  readonly signal: AbortSignal;
  /** Before each measurement. */
  readonly onTask: (done: number, all: number) => void;
  /** Sees the report now and then while it grows, so that a driver that ends the process leaves what was measured before. */
  readonly save: (report: GpuReport) => Promise<void>;
}

/** Time between two calls of `save`. */
const saveIntervalMs = 3000;

/** Measures an adapter within a budget of time. What fails, or finds no time, is stated in the report. */
export async function measureGpu(options: MeasureOptions): Promise<GpuReport> {
  const { sections, budgetSeconds, signal, onTask, save } = options;
  const start = performance.now();
  const keeper = new DeviceKeeper(options.open);
  try {
    const first = await keeper.device();
    const report = emptyReport(first, budgetSeconds);
    const tasks = reportTasks(keeper, first, report, sections);
    const end = start + 1000 * budgetSeconds;
    let savedMs = start;
    for (const [i, task] of tasks.entries()) {
      onTask(i, tasks.length);
      await perform(task, report, { until: shareOf(tasks.slice(i), end), end, signal });
      report.elapsedSeconds = (performance.now() - start) / 1000;
      if (performance.now() - savedMs < saveIntervalMs) continue;
      await save(report);
      savedMs = performance.now();
    }
    report.isComplete = !signal.aborted;
    return report;
  } finally {
    keeper.close();
  }
}

/** Until when the first of these tasks may take, where what is left is divided by their weights. */
function shareOf([first, ...rest]: readonly ReportTask[], end: number): number {
  const now = performance.now();
  const weight = first?.weight ?? 1;
  const all = rest.reduce((sum, task) => sum + task.weight, weight);
  return now + ((end - now) * weight) / all;
}

interface Limits {
  readonly until: number;
  readonly end: number;
  readonly signal: AbortSignal;
}

async function perform(task: ReportTask, report: GpuReport, { until, end, signal }: Limits): Promise<void> {
  const { section, name } = task;
  const note = (reason: string): void => void report.notDone.push({ section, name, reason });
  if (signal.aborted) return note("interrupted");
  if (performance.now() >= end) return note("no time left");
  try {
    await task.run(until);
  } catch (error) {
    note(namelessMessage(error));
  }
}

function emptyReport(device: Device, budgetSeconds: number): GpuReport {
  const [processor] = cpus();
  return {
    kind: "mimrefine GPU report",
    format: reportFormat,
    version: packageJson.version,
    isComplete: false,
    budgetSeconds,
    elapsedSeconds: 0,
    machine: {
      platform: platform(),
      architecture: arch(),
      runtime: `${process.release.name} ${process.version}`,
      processor: processor?.model ?? "unknown",
      cores: cpus().length,
      memoryBytes: totalmem(),
    },
    adapter: describe(device),
    probes: null,
    numbers: [],
    variants: Object.fromEntries(
      operationsWithVariants().map((operation) => [operation, [...variantNames(operation)]]),
    ),
    operations: [],
    tuning: null,
    steps: [],
    notDone: [],
  };
}

function describe({ info, features, limits, subgroupSize, matrices, gpu }: Device): GpuReport["adapter"] {
  const { name, type, backend, driver, vendor, architecture } = info;
  const { subgroupMinSize, subgroupMaxSize } = gpu.adapterInfo;
  const hasRange = subgroupMinSize !== undefined && subgroupMaxSize !== undefined;
  return {
    name,
    type,
    backend,
    driver,
    vendor,
    architecture,
    subgroupSize: subgroupSize ?? null,
    subgroupRange: hasRange ? [subgroupMinSize, subgroupMaxSize] : null,
    matrixConfigurations: matrices.shapes.map(
      ({ rows, columns, depth, component, result }) => `M ${rows}, N ${columns}, K ${depth}, ${component} to ${result}`,
    ),
    features: [...features].sort(),
    limits: numbersOf(limits),
  };
}

/** The members of objects of the platform are getters of their prototypes, which only `in` finds. */
function numbersOf(limits: GPUSupportedLimits): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name in limits) {
    const value: unknown = Reflect.get(limits, name);
    if (typeof value === "number") found[name] = value;
  }
  return found;
}
