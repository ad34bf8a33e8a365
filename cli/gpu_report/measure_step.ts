import type { Device, KernelTime, RecordedProgram, Tensor } from "../../engine/index.ts";
import { type BenchStepOptions, recordBenchStep } from "../../refiner/methods/refine/benchmark_step.ts";

/** What a whole step takes. */
export interface StepTimes {
  /** Median milliseconds of a step, submit to completion, and of the part that JavaScript takes. */
  readonly stepMs: number;
  readonly scriptMs: number;
  readonly gflops: number;
  readonly dispatches: number;
  readonly bytesMoved: number;
  readonly minimumBytes: number;
  readonly plannedBytes: number;
  readonly lowerBoundBytes: number;
  /** Bytes of all buffers that exist on the device. */
  readonly actualBytes: number;
  /** Medians per kernel; empty without timestamps. */
  readonly kernels: readonly KernelTime[];
}

export interface StepLimits {
  /** Sees the step's operations before anything is compiled; may throw. */
  readonly refuse?: (flops: number) => void;
  /** Time of `performance.now()` after which nothing is repeated. */
  readonly until?: number;
}

/** Times a step. */
export async function measureStep(
  device: Device,
  options: BenchStepOptions & { readonly repeats: number },
  { refuse, until = Number.POSITIVE_INFINITY }: StepLimits = {},
): Promise<StepTimes> {
  const bytesBefore = device.counters.bytes;
  const { recorded, inputs, minimumBytes } = recordBenchStep(device, options);
  const { stats } = recorded;
  refuse?.(stats.flops);
  await recorded.run(inputs); // compiles
  await device.idle();
  const actualBytes = device.counters.bytes - bytesBefore;
  const times: number[] = [];
  const scripts: number[] = [];
  for (let i = 0; i < options.repeats && (i === 0 || performance.now() < until); i++) {
    const start = performance.now();
    await recorded.run(inputs);
    scripts.push(performance.now() - start);
    await device.idle();
    times.push(performance.now() - start);
  }
  const isTimed = device.features.has("timestamp-query") && performance.now() < until;
  const kernels = isTimed ? await kernelTimes(recorded, inputs, options.repeats) : [];
  recorded.destroy();
  const stepMs = median(times);
  return {
    stepMs,
    scriptMs: median(scripts),
    gflops: stats.flops / stepMs / 1e6,
    dispatches: stats.dispatches,
    bytesMoved: stats.bytesRead + stats.bytesWritten,
    minimumBytes,
    plannedBytes: stats.plannedPeakBytes + stats.inputBytes + stats.stateBytes,
    lowerBoundBytes: stats.lowerBoundBytes + stats.inputBytes + stats.stateBytes,
    actualBytes,
    kernels,
  };
}

/** Medians over repetitions of the whole program, so that a busy moment of the machine does not fall on one kernel. */
async function kernelTimes(
  recorded: RecordedProgram<Record<string, Tensor>>,
  inputs: Readonly<Record<string, ArrayLike<number>>>,
  repeats: number,
): Promise<KernelTime[]> {
  const runs: KernelTime[][] = [];
  for (let i = 0; i < Math.min(repeats, 5); i++) runs.push(await recorded.profile(inputs));
  const [first = []] = runs;
  return first
    .map((row) => {
      const times = runs.flatMap((run) => run.find(({ kernel }) => kernel === row.kernel)?.milliseconds ?? []);
      const milliseconds = median(times);
      const rate = (amount: number): number => (milliseconds > 0 ? amount / milliseconds / 1e6 : 0);
      return { ...row, milliseconds, gflops: rate(row.flops), gigabytesPerSecond: rate(row.bytes) };
    })
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}
