import type { DType } from "../core/dtype.ts";
import { f32ToF16 } from "../core/half_precision.ts";
import type { Device, Program, TuningRequest } from "../core/recording.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Inputs } from "../run/executable.ts";
import { type RecordedProgram, recordProgram } from "../run/recorded_program.ts";

/** One way to compute an operation, compiled and ready to be timed. */
export interface Trial {
  readonly candidate: string;
  /** Floating-point operations of a run, and bytes that its kernels read and write. */
  readonly flops: number;
  readonly bytes: number;
  /**
   * Milliseconds of a run, from submit to completion.
   *
   * @param submits - runs that are handed over together, so that the way to the device and back counts once for all. Default 1
   */
  readonly run: (submits?: number) => Promise<number>;
  /** Milliseconds that the kernels of a run take by themselves. @throws MissingFeatureError without `timestamp-query` */
  readonly kernelMs: () => Promise<number>;
  readonly destroy: () => void;
}

/**
 * Compiles one candidate on inputs of its own.
 *
 * @throws whatever says that the candidate does not run here: ValidationError, OutOfMemoryError, OptionError, MissingFeatureError
 */
export async function prepareTrial(device: Device, request: TuningRequest, candidate: string): Promise<Trial> {
  const recorded = recordExample(device, request.example, candidate);
  try {
    const executable = await recorded.compile();
    executable.upload(sampleInputs(recorded.program));
    const { flops, bytesRead, bytesWritten } = recorded.stats;
    const run = async (submits = 1): Promise<number> => {
      const start = performance.now();
      for (let i = 0; i < submits; i++) executable.submit();
      await device.idle();
      return (performance.now() - start) / submits;
    };
    const kernelMs = async (): Promise<number> => {
      device.requireFeature("kernelMs", "timestamp-query");
      const times = await executable.time();
      return times.reduce((sum, { nanoseconds }) => sum + nanoseconds / 1e6, 0);
    };
    return { candidate, flops, bytes: bytesRead + bytesWritten, run, kernelMs, destroy: () => recorded.destroy() };
  } catch (error) {
    recorded.destroy();
    throw error;
  }
}

/** The recording of one candidate alone; nothing is compiled. */
export function recordExample(
  device: Device,
  example: TuningRequest["example"],
  candidate: string,
): RecordedProgram<Record<string, Tensor>> {
  const record = (program: Program) =>
    Object.fromEntries(example(program, candidate).map((result, i) => [`result${i}`, result]));
  return recordProgram(device, record, { name: `variant ${candidate}` });
}

/** Time that dwarfs the way to a device and back, some tenths of a millisecond. */
const enoughMs = 4;
const mostSubmits = 64;

/** Runs to hand over together where one takes so many milliseconds. */
export function submitsTogether(ms: number): number {
  return Number.isFinite(ms) && ms > 0 ? Math.min(mostSubmits, Math.ceil(enoughMs / ms)) : 1;
}

/** Values of ordinary size: times on CPUs suffer from denormal numbers, and a search from equal ones. */
function sampleInputs(program: Program): Inputs {
  return Object.fromEntries([...program.inputs].map(([name, x]) => [name, sampleValues(x.dtype, x.size)]));
}

/** Numbers until they are repeated: copying is faster than computing them. */
const period = 2 ** 16;

function sampleValues(dtype: DType, count: number): ArrayLike<number> {
  if (dtype === "u32") return new Uint32Array(count);
  if (dtype === "i32") return new Int32Array(count);
  if (dtype === "u8") return new Uint8Array(count);
  const golden = 0.618034; // its multiples fill the unit interval evenly and never repeat
  const base = Float32Array.from({ length: Math.min(count, period) }, (_, i) => 2 * ((i * golden) % 1) - 1);
  return dtype === "f16" ? repeated(new Uint16Array(count), f32ToF16(base)) : repeated(new Float32Array(count), base);
}

/** Fills an array with a shorter one, over and over. */
function repeated<T extends Float32Array | Uint16Array>(values: T, base: T): T {
  values.set(base);
  for (let filled = base.length; filled < values.length; filled *= 2) values.copyWithin(filled, 0, filled);
  return values;
}
