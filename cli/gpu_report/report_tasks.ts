import { type Device, measurePeaks, tuneProgram } from "../../engine/index.ts";
import { recordBenchStep } from "../../refiner/methods/refine/benchmark_step.ts";
import { checkedOperations, checkNumbers } from "./check_numbers.ts";
import type { DeviceKeeper } from "./device_keeper.ts";
import { measureOperation, requestsOf } from "./measure_operation.ts";
import { reportStep, stepName, stepsFor } from "./measured_steps.ts";
import type { GpuReport, ReportSection } from "./report_schema.ts";

/** One measurement of a report. */
export interface ReportTask {
  readonly section: ReportSection;
  readonly name: string;
  /** Share of the time that it may take, relative to the others. */
  readonly weight: number;
  /** @param until - time of `performance.now()` by which it shall be done */
  readonly run: (until: number) => Promise<void>;
}

/** What a report consists of, in the order of its measurements; each adds to the report. */
export function reportTasks(
  keeper: DeviceKeeper,
  first: Device,
  report: GpuReport,
  sections: readonly ReportSection[],
): ReportTask[] {
  const makers: Readonly<Record<ReportSection, () => ReportTask[]>> = {
    probes: () => [probe(keeper, report)],
    numbers: () => numbers(keeper, report),
    operations: () => operations(keeper, first, report),
    tuning: () => [tuning(keeper, report)],
    steps: () => steps(keeper, first, report),
  };
  return sections.flatMap((section) => makers[section]());
}

function probe(keeper: DeviceKeeper, report: GpuReport): ReportTask {
  const run = async (): Promise<void> => {
    report.probes = await measurePeaks(await keeper.device());
  };
  return { section: "probes", name: "peaks", weight: 3, run };
}

function numbers(keeper: DeviceKeeper, report: GpuReport): ReportTask[] {
  return checkedOperations.map((operation) => ({
    section: "numbers",
    name: operation,
    weight: 1,
    run: async () => {
      report.numbers.push(...(await checkNumbers(await keeper.device(), operation)));
    },
  }));
}

function operations(keeper: DeviceKeeper, first: Device, report: GpuReport): ReportTask[] {
  return requestsOf(first).map((measured) => ({
    section: "operations",
    name: `${measured.request.operation} ${measured.request.shapeClass}`,
    weight: 2,
    run: async (until) => {
      report.operations.push(await measureOperation(await keeper.device(), measured, report.probes, until));
    },
  }));
}

/** The tuner as a command uses it, on a device that knows nothing yet. */
function tuning(keeper: DeviceKeeper, report: GpuReport): ReportTask {
  const run = async (until: number): Promise<void> => {
    const device = await keeper.open();
    try {
      const start = performance.now();
      const build = () => recordBenchStep(device, { model: "ti16", step: "train", batch: device.isSoftware ? 2 : 64 });
      const budgetMs = Math.max(1, until - start);
      const choices = await tuneProgram(device, build, { remembers: false, budgetMs });
      report.tuning = {
        elapsedMs: performance.now() - start,
        choices: choices.map(({ key, choice, source }) => ({ key, choice, source })),
      };
    } finally {
      device.close();
    }
  };
  return { section: "tuning", name: "ti16 train", weight: 10, run };
}

function steps(keeper: DeviceKeeper, first: Device, report: GpuReport): ReportTask[] {
  return stepsFor(first).map((step) => ({
    section: "steps",
    name: stepName(step),
    weight: 8,
    run: async (until) => {
      report.steps.push(await reportStep(keeper.open, step, report.probes, until));
    },
  }));
}
