import type { TuningRequest } from "../../engine/core/recording.ts";
import { tuningKey } from "../../engine/core/tuning_table.ts";
import { type AdapterPeaks, type Device, recordProgram } from "../../engine/index.ts";
import { prepareTrial, recordExample, submitsTogether, type Trial } from "../../engine/tune/trial.ts";
import { median } from "./measure_step.ts";
import { namelessMessage } from "./nameless.ts";
import { type OperationCase, operationCases } from "./operation_cases.ts";
import type { ReportedOperation, ReportedVariant } from "./report_schema.ts";

/** A choice to measure: what an operation asked for, and where it stands in a model. */
export interface MeasuredRequest {
  readonly request: TuningRequest;
  readonly use: string;
}

/** Images of a batch and rows of the queue: what fills the adapter, and what a CPU gets done. */
function sizesFor(device: Device): { images: number; queueLength: number } {
  return device.isSoftware ? { images: 2, queueLength: 8192 } : { images: 32, queueLength: 65536 };
}

/** All choices that the cases ask for, each once; nothing is computed. */
export function requestsOf(device: Device): MeasuredRequest[] {
  const { images, queueLength } = sizesFor(device);
  const cases = operationCases(images, queueLength, device.features.has("shader-f16"));
  const found = new Map<string, MeasuredRequest>();
  for (const one of cases) {
    device.tuning.requests.clear();
    record(device, one);
    for (const [key, request] of device.tuning.requests) {
      if (!found.has(key)) found.set(key, { request, use: one.use });
    }
  }
  device.tuning.requests.clear();
  return [...found.values()];
}

function record(device: Device, { record: build, inference = false }: OperationCase): void {
  const recorded = recordProgram(
    device,
    (program) => {
      build(program);
      return {};
    },
    { inference },
  );
  recorded.destroy();
}

/**
 * Times every variant of one operation and class of shapes that runs here.
 *
 * @param until - time of `performance.now()` after which no further variant is begun, but for the first
 * @throws DeviceLostError
 */
export async function measureOperation(
  device: Device,
  { request, use }: MeasuredRequest,
  peaks: AdapterPeaks | null,
  until: number,
): Promise<ReportedOperation> {
  const { operation, shapeClass, candidates, others } = request;
  const names = [...candidates, ...others];
  const [builtIn = ""] = names;
  const { flops, bytes } = workOf(device, request, builtIn);
  const variants: ReportedVariant[] = [];
  for (const [i, name] of names.entries()) {
    const left = (until - performance.now()) / (names.length - i);
    const expectedMs = peaks ? flops / peaks.gflops / 1e6 : 0;
    if (left <= 0 && i > 0) variants.push(untimed(name, "no time left"));
    else if (slowest * expectedMs > Math.max(leastPatienceMs, 4 * left))
      variants.push(untimed(name, "would take too long"));
    else variants.push(await measureVariant(device, request, name, { peaks, until: performance.now() + left }));
  }
  const timed = variants.filter(({ wallMs }) => wallMs !== null).sort((a, b) => timeOf(a) - timeOf(b));
  const fastest = timed[0]?.variant ?? null;
  return { operation, key: tuningKey(operation, shapeClass), use, flops, bytes, builtIn, fastest, variants };
}

/** A variant may take so many times as long as the adapter's peak promises, and a launch cannot be ended. */
const slowest = 50;
const leastPatienceMs = 3000;

function timeOf({ kernelMs, wallMs }: ReportedVariant): number {
  return kernelMs ?? wallMs ?? Number.POSITIVE_INFINITY;
}

function workOf(device: Device, { example }: TuningRequest, variant: string): { flops: number; bytes: number } {
  const recorded = recordExample(device, example, variant);
  const { flops, bytesRead, bytesWritten } = recorded.stats;
  recorded.destroy();
  return { flops, bytes: bytesRead + bytesWritten };
}

function untimed(variant: string, error: string): ReportedVariant {
  const none = { wallMs: null, kernelMs: null, gflops: null, gigabytesPerSecond: null };
  return { variant, ...none, runs: 0, arithmeticShare: null, bandwidthShare: null, error };
}

interface Measuring {
  readonly peaks: AdapterPeaks | null;
  readonly until: number;
}

async function measureVariant(
  device: Device,
  request: TuningRequest,
  name: string,
  { peaks, until }: Measuring,
): Promise<ReportedVariant> {
  let trial: Trial;
  try {
    trial = await prepareTrial(device, request, name);
  } catch (error) {
    device.throwIfLost();
    return untimed(name, namelessMessage(error));
  }
  try {
    const { runs, wallMs, kernelMs } = await timesOf(device, trial, until);
    const ms = kernelMs ?? wallMs;
    const gflops = trial.flops / ms / 1e6;
    const gigabytesPerSecond = trial.bytes / ms / 1e6;
    return {
      variant: name,
      wallMs,
      kernelMs,
      runs,
      gflops,
      gigabytesPerSecond,
      arithmeticShare: peaks && gflops / peaks.gflops,
      bandwidthShare: peaks && gigabytesPerSecond / peaks.gigabytesPerSecond,
      error: null,
    };
  } catch (error) {
    device.throwIfLost();
    return untimed(name, namelessMessage(error));
  } finally {
    trial.destroy();
  }
}

const mostRuns = 9;
const profiledRuns = 3;

async function timesOf(
  device: Device,
  { run, kernelMs }: Trial,
  until: number,
): Promise<{ runs: number; wallMs: number; kernelMs: number | null }> {
  await run(); // also pays for pages, caches and, with some drivers, machine code
  const times = [await run()];
  const together = submitsTogether(times[0] ?? 0);
  if (together > 1) times.pop(); // it was mostly the way to the device and back
  while (times.length < mostRuns && (times.length === 0 || performance.now() < until)) times.push(await run(together));
  const kernels: number[] = [];
  for (let i = 0; i < profiledRuns && device.features.has("timestamp-query"); i++) {
    if (i > 0 && performance.now() >= until) break;
    kernels.push(await kernelMs());
  }
  const fromKernels = median(kernels);
  return { runs: times.length, wallMs: median(times), kernelMs: fromKernels > 0 ? fromKernels : null };
}
