import { type AdapterPeaks, type Device, OptionError, tuneProgram } from "../../engine/index.ts";
import { type BenchStepOptions, recordBenchStep } from "../../refiner/methods/refine/benchmark_step.ts";
import { measureStep } from "./measure_step.ts";
import { namelessMessage } from "./nameless.ts";
import type { ReportedStep } from "./report_schema.ts";

/** Whole steps, the most telling first; a CPU takes few images and a short queue. */
export function stepsFor({ isSoftware, features }: Device): BenchStepOptions[] {
  if (isSoftware) {
    return [
      { model: "ti16", step: "forward", batch: 4 },
      { model: "ti16", step: "train", batch: 2 },
      { model: "ti16", step: "refine", batch: 2, localViews: 2, queueLength: 4096 },
      { model: "b16", step: "forward", batch: 1 },
    ];
  }
  const full = { localViews: 10, queueLength: 65536 } as const;
  const wide: BenchStepOptions[] = [
    { model: "ti16", step: "forward", batch: 64 },
    { model: "ti16", step: "train", batch: 64 },
    { model: "ti16", step: "refine", batch: 32, ...full },
    { model: "b16", step: "forward", batch: 64 },
    { model: "b16", step: "train", batch: 32 },
    { model: "b16", step: "refine", batch: 16, ...full },
  ];
  const half = wide.map((step): BenchStepOptions => ({ ...step, precision: "f16" }));
  return features.has("shader-f16") ? [...wide, ...half] : wide;
}

export function stepName({ model, step, batch, precision = "f32" }: BenchStepOptions): string {
  return `${model} ${step}, batch ${batch}, ${precision}`;
}

/** What a step reaches of the peak at the least, by which too long ones are told beforehand. */
const leastShare = 0.1;
const leastPatienceMs = 3000;

/**
 * Times a step on a device of its own, whose memory ends with it. What fails is stated in the result.
 *
 * @param until - time of `performance.now()` by which it shall be done
 */
export async function reportStep(
  open: () => Promise<Device>,
  step: BenchStepOptions,
  peaks: AdapterPeaks | null,
  until: number,
): Promise<ReportedStep> {
  const { model, batch, localViews, queueLength, precision = "f32" } = step;
  const what = { model, step: step.step, batch, precision };
  const sizes = { localViews: localViews ?? null, queueLength: queueLength ?? null };
  const device = await open();
  const repeats = device.isSoftware ? 2 : 5;
  const refuse = (flops: number): void => {
    const expectedMs = peaks ? ((2 * repeats + 1) * flops) / peaks.gflops / 1e6 / leastShare : 0;
    if (expectedMs > Math.max(leastPatienceMs, 2 * (until - performance.now())))
      throw new OptionError("would take too long");
  };
  try {
    if (!device.isSoftware) await tuneFirst(device, step, until);
    const times = await measureStep(device, { ...step, repeats }, { refuse, until });
    const { stepMs, scriptMs, gflops, dispatches, bytesMoved, plannedBytes, lowerBoundBytes, actualBytes } = times;
    return {
      ...what,
      ...sizes,
      error: null,
      stepMs,
      scriptMs,
      gflops,
      arithmeticShare: peaks && gflops / peaks.gflops,
      dispatches,
      bytesMoved,
      plannedBytes,
      lowerBoundBytes,
      heldBytes: actualBytes,
      kernels: times.kernels.map(({ kernel, launches, milliseconds, gflops: rate, gigabytesPerSecond }) => ({
        kernel,
        launches,
        milliseconds,
        gflops: rate,
        gigabytesPerSecond,
      })),
    };
  } catch (error) {
    const none = {
      stepMs: null,
      scriptMs: null,
      gflops: null,
      arithmeticShare: null,
      dispatches: null,
      bytesMoved: null,
    };
    const noMemory = { plannedBytes: null, lowerBoundBytes: null, heldBytes: null };
    return { ...what, ...sizes, error: namelessMessage(error), ...none, ...noMemory, kernels: [] };
  } finally {
    device.close();
  }
}

/** As the commands do on GPUs, but without the choices of earlier runs: a report shall not depend on them. */
async function tuneFirst(device: Device, step: BenchStepOptions, until: number): Promise<void> {
  const budgetMs = Math.max(1, (until - performance.now()) / 3);
  await tuneProgram(device, () => recordBenchStep(device, step), { remembers: false, budgetMs });
}
