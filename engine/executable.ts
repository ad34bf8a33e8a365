import { bytesPerElement, firstNonFinite, type HostArray, hostArray, viewAs } from "./dtype.ts";
import { IndexError, NonFiniteError, OptionError, ReusedTensorError, ShapeError } from "./errors.ts";
import type { Kernel } from "./kernel.ts";
import type { Pipeline } from "./pipelines.ts";
import { type Plan, type PlannedCommand, planProgram } from "./planner.ts";
import type { Dispatch, FlagSet, Program } from "./program.ts";
import { showShape } from "./shape.ts";
import { alignUp, bindingAlignment, GPUBufferUsageFlags, type VirtualStorage } from "./storage.ts";
import { stateOf, type Tensor } from "./tensor.ts";
import { uniformBytes } from "./uniforms.ts";

/** Host values for the inputs of a program, by name. */
export type Inputs = Readonly<Record<string, ArrayLike<number>>>;

interface Range {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

type Step =
  | {
      readonly type: "dispatch";
      readonly dispatch: Dispatch;
      readonly kernel: Kernel;
      readonly pipeline: GPUComputePipeline;
      readonly group: GPUBindGroup;
      readonly workgroups: readonly [number, number, number];
    }
  | { readonly type: "copy"; readonly from: Range; readonly to: Range };

/** A planned program with everything that a run needs already created. */
export class Executable {
  readonly #arenas: GPUBuffer[];
  readonly #inputs = new Map<VirtualStorage, Range>();
  readonly #inputBuffer: GPUBuffer | undefined;
  readonly #uniforms: GPUBuffer | undefined;
  readonly #steps: Step[];

  private constructor(
    readonly program: Program,
    readonly plan: Plan,
    pipelines: readonly (Pipeline | undefined)[],
    /** First commands of each submit; one entry unless the program is long. */
    readonly cuts: readonly number[],
  ) {
    const { device } = program;
    const usage = GPUBufferUsageFlags.STORAGE | GPUBufferUsageFlags.COPY_SRC | GPUBufferUsageFlags.COPY_DST;
    this.#arenas = plan.arenaBytes.map((bytes, i) => device.createBuffer(`${program.name} arena ${i}`, bytes, usage));
    if (program.inputs.size > 0) {
      const bytes = [...program.inputs.values()].reduce(
        (sum, x) => sum + alignUp(x.storage.sizeBytes, bindingAlignment),
        0,
      );
      this.#inputBuffer = device.createBuffer(`${program.name} inputs`, bytes, usage);
      let offset = 0;
      for (const { storage } of program.inputs.values()) {
        if (storage.kind === "virtual")
          this.#inputs.set(storage, { buffer: this.#inputBuffer, offset, size: storage.sizeBytes });
        offset += alignUp(storage.sizeBytes, bindingAlignment);
      }
    }
    const uniforms = layOutUniforms(plan.commands);
    if (uniforms.bytes.byteLength > 0) {
      this.#uniforms = device.createBuffer(
        `${program.name} uniforms`,
        uniforms.bytes.byteLength,
        GPUBufferUsageFlags.UNIFORM | GPUBufferUsageFlags.COPY_DST,
      );
      device.gpu.queue.writeBuffer(this.#uniforms, 0, uniforms.bytes);
    }
    this.#steps = plan.commands.map((planned, i) => this.#prepare(planned, pipelines[i], uniforms.ranges[i]));
  }

  /** Plans, allocates and compiles. @throws OutOfMemoryError, ValidationError, OverLimitError */
  static async create(
    program: Program,
    outputs: readonly Tensor[],
    plan = planFor(program, outputs),
  ): Promise<Executable> {
    const { device } = program;
    device.throwIfLost();
    const pipelines = await Promise.all(
      plan.commands.map(({ command, inPlace }) => {
        if (command.type === "assign") return undefined;
        const kernel = inPlace && command.options.inPlace ? command.options.inPlace.kernel : command.kernel;
        return device.pipelines.get(kernel, command.options.constants, command.options.declarations);
      }),
    );
    return device.guarded(
      `program ${program.name}`,
      () => new Executable(program, plan, pipelines, device.submitCuts(plan.commands)),
    );
  }

  #prepare(
    { command, inPlace }: PlannedCommand,
    pipeline: Pipeline | undefined,
    uniform: { offset: number; size: number } | undefined,
  ): Step {
    if (command.type === "assign" || !pipeline) {
      if (command.type !== "assign") throw new OptionError(`${command.kernel.name}: no pipeline`);
      return { type: "copy", from: this.locate(command.source), to: this.locate(command.target) };
    }
    const kernel = inPlace && command.options.inPlace ? command.options.inPlace.kernel : command.kernel;
    const entries = kernel.bindings.map(({ name, binding, access }): GPUBindGroupEntry => {
      if (access === "uniform") {
        if (!this.#uniforms || !uniform) throw new OptionError(`${kernel.name}: uniform ${name} has no values`);
        return { binding, resource: { buffer: this.#uniforms, offset: uniform.offset, size: uniform.size } };
      }
      const operand = command.operands[name];
      if (!operand) throw new OptionError(`${kernel.name}: no operand ${name}`);
      return { binding, resource: this.locate(operand) };
    });
    const group = this.program.device.gpu.createBindGroup({ label: kernel.name, layout: pipeline.layout, entries });
    return {
      type: "dispatch",
      dispatch: command,
      kernel,
      pipeline: pipeline.pipeline,
      group,
      workgroups: command.workgroups,
    };
  }

  /** The buffer range of a tensor. */
  locate(x: Tensor): Range {
    const state = stateOf(x);
    const size = alignUp(x.sizeBytes, 4);
    if (state) return { buffer: state.buffer, offset: x.byteOffset, size };
    const storage = x.storage;
    if (storage.kind === "state") return { buffer: storage.buffer, offset: x.byteOffset, size };
    const input = this.#inputs.get(storage);
    if (input) return { buffer: input.buffer, offset: input.offset + x.byteOffset, size };
    const place = this.plan.placements.get(storage);
    if (!place)
      throw new ReusedTensorError(
        `${this.program.name}: a tensor of shape ${showShape(x.shape)} is never computed; declare it an output of the program`,
      );
    if ("state" in place) return { buffer: place.state.buffer, offset: place.offset + x.byteOffset, size };
    const buffer = this.#arenas[place.arena];
    if (!buffer) throw new ReusedTensorError(`${this.program.name}: the program was destroyed; record it again`);
    return { buffer, offset: place.offset + x.byteOffset, size };
  }

  /** Copies host values into the inputs. @throws OptionError, ShapeError, DTypeError, NonFiniteError */
  upload(inputs: Inputs): void {
    for (const name of Object.keys(inputs)) {
      if (!this.program.inputs.has(name)) {
        throw new OptionError(
          `${this.program.name}: no input ${name}; expected ${[...this.program.inputs.keys()].join(", ") || "none"}`,
        );
      }
    }
    for (const [name, tensor] of this.program.inputs) {
      const given = inputs[name];
      if (!given)
        throw new OptionError(
          `${this.program.name}: the input ${name} ${showShape(tensor.shape)} is missing; pass it to run`,
        );
      const data = hostArray(tensor.dtype, given, `input ${name}`);
      if (data.length !== tensor.size) {
        throw new ShapeError(
          `${this.program.name}: input ${name} has ${data.length} elements, expected ${tensor.size} for ${showShape(tensor.shape)}`,
        );
      }
      if (this.program.device.checksFinite) checkFinite(`input ${name}`, tensor, data);
      const range = this.locate(tensor);
      writeBuffer(this.program.device.gpu, range, data);
    }
  }

  /** Encodes and submits every command once; `readBack` ranges are copied to a staging buffer in the same submit. */
  submit(readBack: readonly Tensor[] = [], staging?: GPUBuffer): void {
    const { device } = this.program;
    device.throwIfLost();
    this.cuts.forEach((from, i) => {
      const to = this.cuts[i + 1] ?? this.#steps.length;
      const encoder = device.gpu.createCommandEncoder({ label: this.program.name });
      this.#encode(encoder, from, to);
      if (i === this.cuts.length - 1 && staging) this.#copyOut(encoder, readBack, staging);
      device.submit(encoder.finish());
    });
  }

  #encode(encoder: GPUCommandEncoder, from: number, to: number): void {
    let pass: GPUComputePassEncoder | undefined;
    let bound: GPUComputePipeline | undefined;
    for (let i = from; i < to; i++) {
      const step = this.#steps[i];
      if (!step) continue;
      if (step.type === "copy") {
        pass?.end();
        pass = undefined;
        bound = undefined;
        encoder.copyBufferToBuffer(step.from.buffer, step.from.offset, step.to.buffer, step.to.offset, step.from.size);
        continue;
      }
      pass ??= encoder.beginComputePass();
      if (bound !== step.pipeline) pass.setPipeline(step.pipeline);
      bound = step.pipeline;
      pass.setBindGroup(0, step.group);
      pass.dispatchWorkgroups(...step.workgroups);
    }
    pass?.end();
  }

  #copyOut(encoder: GPUCommandEncoder, tensors: readonly Tensor[], staging: GPUBuffer): void {
    let to = 0;
    for (const tensor of tensors) {
      const { buffer, offset, size } = this.locate(tensor);
      encoder.copyBufferToBuffer(buffer, offset, staging, to, size);
      to += alignUp(size, 8);
    }
  }

  /** Runs every dispatch in a pass of its own between two timestamps. @returns nanoseconds per dispatch */
  async time(): Promise<{ kernel: string; dispatch: Dispatch; nanoseconds: number }[]> {
    const { device } = this.program;
    const dispatches = this.#steps.filter((step) => step.type === "dispatch");
    const chunk = 2048; // the largest query set of the WebGPU specification holds 4096 queries, two per dispatch
    const rows: { kernel: string; dispatch: Dispatch; nanoseconds: number }[] = [];
    const set = device.gpu.createQuerySet({
      type: "timestamp",
      count: 2 * Math.min(chunk, Math.max(1, dispatches.length)),
    });
    const resolved = device.createBuffer(
      "timestamps",
      set.count * 8,
      GPUBufferUsageFlags.QUERY_RESOLVE | GPUBufferUsageFlags.COPY_SRC,
    );
    for (let from = 0; from < this.#steps.length; from += chunk) {
      const encoder = device.gpu.createCommandEncoder();
      const part = this.#steps.slice(from, from + chunk);
      const timed: Extract<Step, { type: "dispatch" }>[] = [];
      for (const step of part) {
        if (step.type === "copy") {
          encoder.copyBufferToBuffer(
            step.from.buffer,
            step.from.offset,
            step.to.buffer,
            step.to.offset,
            step.from.size,
          );
          continue;
        }
        const pass = encoder.beginComputePass({
          timestampWrites: {
            querySet: set,
            beginningOfPassWriteIndex: 2 * timed.length,
            endOfPassWriteIndex: 2 * timed.length + 1,
          },
        });
        pass.setPipeline(step.pipeline);
        pass.setBindGroup(0, step.group);
        pass.dispatchWorkgroups(...step.workgroups);
        pass.end();
        timed.push(step);
      }
      const bytes = Math.max(1, timed.length) * 16;
      const staging = device.staging.take(bytes);
      encoder.resolveQuerySet(set, 0, 2 * timed.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
      device.submit(encoder.finish());
      const stamps = new BigUint64Array(await device.staging.collect(staging, bytes));
      timed.forEach((step, i) => {
        rows.push({
          kernel: step.kernel.name,
          dispatch: step.dispatch,
          nanoseconds: Number((stamps[2 * i + 1] ?? 0n) - (stamps[2 * i] ?? 0n)),
        });
      });
    }
    set.destroy();
    resolved.destroy();
    return rows;
  }

  /** Frees arenas, inputs and uniforms; state stays. */
  destroy(): void {
    for (const buffer of [...this.#arenas.splice(0), this.#inputBuffer, this.#uniforms]) buffer?.destroy();
  }
}

export function planFor(program: Program, outputs: readonly Tensor[]): Plan {
  return planProgram(program.commands, outputs, program.device.limits.maxBufferSize);
}

/** Bytes that a read-back of these tensors takes in a staging buffer. */
export function readBackBytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, x) => sum + alignUp(x.sizeBytes, 8), 0);
}

/** Cuts a staging copy into the values of its tensors. @throws IndexError if an index flag is set */
export function splitReadBack(
  program: Program | undefined,
  tensors: readonly Tensor[],
  bytes: ArrayBuffer,
): HostArray[] {
  let offset = 0;
  return tensors.map((tensor) => {
    const values = viewAs(tensor.dtype, bytes.slice(offset, offset + tensor.size * bytesPerElement[tensor.dtype]));
    offset += alignUp(tensor.sizeBytes, 8);
    const set = program?.flags.find((flags) => flags.tensor === tensor);
    if (set) raiseFlags(set, values);
    return values;
  });
}

function raiseFlags({ tensor, operations }: FlagSet, flags: HostArray): void {
  const slot = flags.findIndex((flag) => flag !== 0);
  if (slot < 0) return;
  tensor.device.write(tensor, new Uint32Array(tensor.size));
  throw new IndexError(
    `${operations[slot] ?? "gather"}: an index has the value ${(flags[slot] ?? 1) - 1}, which lies outside the table; it was clamped, so results since then are wrong: check the indices before the upload`,
  );
}

export function checkFinite(what: string, tensor: Tensor, data: HostArray): void {
  const bad = firstNonFinite(data, tensor.dtype);
  if (bad >= 0)
    throw new NonFiniteError(
      `${what}: element ${bad} is ${String(data[bad])}, expected finite numbers; clean the data before the upload`,
    );
}

export function writeBuffer(gpu: GPUDevice, range: Range, data: HostArray): void {
  if (data.byteLength % 4 === 0) {
    gpu.queue.writeBuffer(range.buffer, range.offset, data.buffer, data.byteOffset, data.byteLength);
    return;
  }
  const padded = new Uint8Array(alignUp(data.byteLength, 4));
  padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  gpu.queue.writeBuffer(range.buffer, range.offset, padded);
}

function layOutUniforms(commands: readonly PlannedCommand[]) {
  const blocks: ArrayBuffer[] = [];
  const known = new Map<string, number>();
  const ranges = commands.map(({ command }) => {
    if (command.type === "assign" || !command.kernel.params) return undefined;
    const block = uniformBytes(command.kernel.name, command.kernel.params, command.params);
    const key = new Uint8Array(block).toString();
    const index = known.get(key) ?? blocks.push(block) - 1;
    known.set(key, index);
    return { offset: index, size: block.byteLength };
  });
  const stride = alignUp(Math.max(4, ...blocks.map((block) => block.byteLength)), bindingAlignment);
  const bytes = new Uint8Array(blocks.length * stride);
  for (const [i, block] of blocks.entries()) bytes.set(new Uint8Array(block), i * stride);
  return { bytes, ranges: ranges.map((range) => range && { offset: range.offset * stride, size: range.size }) };
}
