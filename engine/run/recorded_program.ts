import type { HostArray } from "../core/dtype.ts";
import { OptionError, OverLimitError, ReusedTensorError } from "../core/errors.ts";
import type { Device, Program, Tensor as RecordedTensor } from "../core/recording.ts";
import type { ProgramOptions } from "../core/recording_options.ts";
import { alignUp, bindingAlignment } from "../core/storage.ts";
import { Tensor } from "../core/tensor.ts";
import type { Plan } from "../plan/planner.ts";
import { type ProgramStats, printPlan, statsOf, trafficOf } from "../plan/program_stats.ts";
import { Executable, type Inputs, planFor } from "./executable.ts";
import { type ExportOptions, exportProgram } from "./export_program.ts";
import { readBackBytes, splitReadBack } from "./host_transfer.ts";
import type { Workspace } from "./workspace.ts";

/** Tensors that a recording function returns, by name. */
export type Outputs = Readonly<Record<string, RecordedTensor>>;

/** Values of one run on their way to the host. */
export interface Readback<Names extends string> {
  /** @throws IndexError, DeviceLostError */
  read(): Promise<Record<Names, HostArray>>;
}

/** Time of one kernel of a program. */
export interface KernelTime {
  readonly kernel: string;
  readonly launches: number;
  readonly milliseconds: number;
  /** Floating-point operations of all launches; 0 where the operation states none. */
  readonly flops: number;
  /** Bytes that the operands of all launches hold, counted as in `ProgramStats`. */
  readonly bytes: number;
  /** 10⁹ floating-point operations per second. */
  readonly gflops: number;
  /** 10⁹ bytes per second. */
  readonly gigabytesPerSecond: number;
}

export interface RecordingOptions extends ProgramOptions {
  /** Memory that programs share which never run at once. Default: memory of its own. */
  readonly workspace?: Workspace;
}

/**
 * Runs `build` once to record a program. Nothing is allocated or compiled until the first run.
 *
 * @param build - called with the program; returns the outputs by name
 * @throws DeviceMixError, ProgramMixError for outputs of another device or program; OverLimitError for tensors over the limits of
 *   the device, or inputs that are so together; OptionError for an async function, or results that are no tensors by name
 */
export function recordProgram<T extends Outputs>(
  device: Device,
  build: (program: Program) => T,
  options: RecordingOptions = {},
): RecordedProgram<T> {
  const program = device.program(options);
  const outputs = build(program);
  checkOutputs(program.name, outputs);
  program.adopt("recordProgram", Object.values(outputs));
  checkInputs(program);
  return new RecordedProgram(program, outputs, options.workspace);
}

/** Inputs lie in one buffer. */
function checkInputs({ name, inputs, device }: Program): void {
  const bytes = [...inputs.values()].reduce((sum, x) => sum + alignUp(x.sizeBytes, bindingAlignment), 0);
  const limit = device.limits.maxBufferSize;
  if (bytes > limit)
    throw new OverLimitError(
      `${name}: its inputs have ${bytes} bytes together, over maxBufferSize ${limit}; use a smaller batch`,
    );
}

/** Plain JavaScript has no types that would tell. */
function checkOutputs(name: string, outputs: unknown): void {
  if (outputs instanceof Promise) {
    outputs.catch(() => undefined); // this error says what to do
    throw new OptionError(
      `${name}: the recording function is async, expected one that returns its outputs at once; read values before or after it`,
    );
  }
  if (typeof outputs !== "object" || outputs === null || outputs instanceof Tensor || Array.isArray(outputs)) {
    const given = outputs instanceof Tensor ? "a tensor" : Array.isArray(outputs) ? "a list" : String(outputs);
    throw new OptionError(`${name}: the recording function returned ${given}, expected outputs by name, such as { y }`);
  }
  for (const [output, value] of Object.entries(outputs)) {
    if (!(value instanceof Tensor))
      throw new OptionError(`${name}: the output ${output} is no tensor; return tensors only, numbers stay outside`);
  }
}

/** A recorded program: statistics before it runs, then replays without creating anything. */
export class RecordedProgram<T extends Outputs> {
  #plan: Plan | undefined;
  #executable: Executable | undefined;
  #hasRun = false;
  #isDestroyed = false;

  constructor(
    readonly program: Program,
    readonly outputs: T,
    readonly workspace?: Workspace,
  ) {
    workspace?.join(this);
  }

  /** The memory plan; made on first use, without touching the device. */
  get plan(): Plan {
    this.#plan ??= planFor(this.program, Object.values(this.outputs));
    return this.#plan;
  }

  get stats(): ProgramStats {
    return statsOf(this.plan, this.program.device);
  }

  /** One line per command with shapes, bytes and FLOPs, and the totals. */
  print(): string {
    return printPlan(this.plan, this.stats);
  }

  /**
   * Allocates the arenas and compiles all kernels in parallel.
   *
   * @throws OutOfMemoryError, ValidationError; ReusedTensorError if the program was destroyed
   */
  async compile(): Promise<Executable> {
    if (this.#isDestroyed)
      throw new ReusedTensorError(`${this.program.name}: the program was destroyed; record it again`);
    if (!this.#executable) {
      this.#executable = await Executable.create(this.program, Object.values(this.outputs), this.plan, this.workspace);
      this.program.runner = this.#executable;
    }
    return this.#executable;
  }

  /**
   * Uploads the inputs and submits the program once.
   *
   * @param read - outputs to copy to the host in the same submit
   * @returns once submitted, not once finished; `read` of the result waits
   * @throws OptionError, ShapeError, DTypeError, NonFiniteError, DeviceLostError
   */
  async run<Names extends Extract<keyof T, string> = never>(
    inputs: Inputs = {},
    read: readonly Names[] = [],
  ): Promise<Readback<Names>> {
    this.program.device.throwIfLost();
    const executable = this.#executable ?? (await this.compile());
    executable.upload(inputs);
    if (read.length === 0) {
      executable.submit();
      this.#warmUp(executable);
      return { read: async () => namedValues<Names>([], []) };
    }
    const tensors = read.map((name) => this.#output(name));
    const { flags, device } = this.program;
    const copied = [...tensors, ...flags.map(({ tensor }) => tensor)];
    const bytes = readBackBytes(copied);
    const staging = device.staging.take(bytes);
    executable.submit(copied, staging);
    this.#warmUp(executable);
    const collected = device.staging.collect(staging, bytes);
    collected.catch(() => undefined); // the caller sees the error when it reads
    return {
      read: async () => {
        const data = await collected;
        await device.warmUp?.idle();
        return namedValues(read, splitReadBack(this.program, copied, data));
      },
    };
  }

  /** Lets a second device help the first run where the driver compiles kernels at their first launch. */
  #warmUp({ pipelines }: Executable): void {
    const { warmUp, gpu, waits } = this.program.device;
    if (this.#hasRun || !warmUp) return;
    this.#hasRun = true;
    const made = pipelines.filter((pipeline) => pipeline !== undefined);
    void warmUp.during(made, waits.during(gpu.queue.onSubmittedWorkDone()));
  }

  #output(name: string): Tensor {
    const tensor = this.outputs[name];
    if (!tensor)
      throw new OptionError(
        `${this.program.name}: no output ${name}; expected ${Object.keys(this.outputs).join(", ")}`,
      );
    return tensor;
  }

  /**
   * Runs once with a timestamp around every kernel.
   *
   * @throws MissingFeatureError without `timestamp-query`
   */
  async profile(inputs: Inputs = {}): Promise<KernelTime[]> {
    this.program.device.throwIfLost();
    this.program.device.requireFeature("profile", "timestamp-query");
    const executable = await this.compile();
    executable.upload(inputs);
    const totals = new Map<string, { launches: number; nanoseconds: number; flops: number; bytes: number }>();
    for (const { kernel, dispatch, nanoseconds } of await executable.time()) {
      const sum = totals.get(kernel) ?? { launches: 0, nanoseconds: 0, flops: 0, bytes: 0 };
      const { read, written } = trafficOf(dispatch);
      totals.set(kernel, {
        launches: sum.launches + 1,
        nanoseconds: sum.nanoseconds + nanoseconds,
        flops: sum.flops + (dispatch.options.flops ?? 0),
        bytes: sum.bytes + read + written,
      });
    }
    return [...totals]
      .map(([kernel, { launches, nanoseconds, flops, bytes }]) => ({
        kernel,
        launches,
        milliseconds: nanoseconds / 1e6,
        flops,
        bytes,
        gflops: nanoseconds > 0 ? flops / nanoseconds : 0,
        gigabytesPerSecond: nanoseconds > 0 ? bytes / nanoseconds : 0,
      }))
      .sort((a, b) => b.milliseconds - a.milliseconds);
  }

  /**
   * The program as one file that `loadStep` of `mimrefine/step` runs without the engine, to the same bytes on the same adapter:
   * commands, WGSL, memory plan, hashes, and the values that its state has now.
   *
   * @throws ValidationError for a tensor named as state that is none, or by the name of an output; DeviceLostError
   */
  async export(options: ExportOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const pieces = await exportProgram(this, options);
    const file = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    pieces.reduce((offset, piece) => {
      file.set(piece, offset);
      return offset + piece.length;
    }, 0);
    return file;
  }

  /** Frees the arenas until the next run, which takes them again; state stays, what the program owns, too. */
  release(): void {
    this.#executable?.destroy();
    this.#executable = undefined;
    this.program.runner = undefined;
  }

  /** Frees the arenas and what the program owns, for good; other state stays. */
  destroy(): void {
    this.#isDestroyed = true;
    this.release();
    this.program.destroyOwned();
  }
}

function namedValues<Names extends string>(
  names: readonly Names[],
  values: readonly HostArray[],
): Record<Names, HostArray> {
  const entries = names.map((name, i): [Names, HostArray] => [name, values[i] ?? new Float32Array()]);
  return Object.fromEntries(entries) as Record<Names, HostArray>;
}
