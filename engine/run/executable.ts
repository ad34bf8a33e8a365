import { writtenBy } from "../core/command.ts";
import type { BufferRange, Guard, Pipeline } from "../core/device_parts.ts";
import { hostArray } from "../core/dtype.ts";
import { OptionError, ReusedTensorError, ShapeError } from "../core/errors.ts";
import { allOnGrid, paramsOnGrid } from "../core/number_grid.ts";
import type { Command, Device, Program, Runner, VirtualStorage } from "../core/recording.ts";
import { showShape } from "../core/shape.ts";
import {
  alignUp,
  bindingAlignment,
  GPUBufferUsageFlags,
  guardBytes,
  indexFlagsName,
  type StateStorage,
} from "../core/storage.ts";
import { stateOf, type Tensor } from "../core/tensor.ts";
import type { PlannedCommand } from "../plan/planned_command.ts";
import { type Plan, planProgram } from "../plan/planner.ts";
import { submitCuts } from "../plan/submit_cuts.ts";
import { setGuards, withGuard } from "./canary_ranges.ts";
import { checkFinite, writeBuffer } from "./host_transfer.ts";
import { type DispatchTime, timeSteps } from "./kernel_times.ts";
import type { Step } from "./step.ts";
import { uniformBytes } from "./uniform_bytes.ts";
import type { Workspace } from "./workspace.ts";

/** Host values for the inputs of a program, by name. */
export type Inputs = Readonly<Record<string, ArrayLike<number>>>;

/** A planned program with everything that a run needs already created. */
export class Executable implements Runner {
  readonly #arenas: GPUBuffer[];
  readonly #inputs = new Map<VirtualStorage, BufferRange>();
  readonly #inputBuffer: GPUBuffer | undefined;
  readonly #uniforms: GPUBuffer | undefined;
  readonly #steps: Step[];
  readonly #guards: readonly Guard[];
  readonly #updated: ReadonlySet<StateStorage>;
  readonly #workspace: Workspace | undefined;

  private constructor(
    readonly program: Program,
    readonly plan: Plan,
    readonly pipelines: readonly (Pipeline | undefined)[],
    /** First commands of each submit; one entry unless the program is long. */
    readonly cuts: readonly number[],
    workspace: Workspace | undefined,
  ) {
    const { device } = program;
    const usage = GPUBufferUsageFlags.STORAGE | GPUBufferUsageFlags.COPY_SRC | GPUBufferUsageFlags.COPY_DST;
    this.#workspace = workspace;
    this.#arenas =
      workspace?.take(plan) ??
      plan.arenaBytes.map((bytes, i) => device.createBuffer(`${program.name} arena ${i}`, bytes, usage));
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
    const uniforms = layOutUniforms(plan.commands, device.reproducible);
    if (uniforms.bytes.byteLength > 0) {
      this.#uniforms = device.createBuffer(
        `${program.name} uniforms`,
        uniforms.bytes.byteLength,
        GPUBufferUsageFlags.UNIFORM | GPUBufferUsageFlags.COPY_DST,
      );
      device.gpu.queue.writeBuffer(this.#uniforms, 0, uniforms.bytes);
    }
    this.#steps = plan.commands.map((planned, i) => this.#prepare(planned, pipelines[i], uniforms.ranges[i]));
    this.#updated = updatedBy(program.commands);
    this.#guards = device.canaries ? setGuards(device.canaries, this, this.#arenas) : [];
  }

  /**
   * Plans, allocates and compiles.
   *
   * @param workspace - memory that is shared with other programs
   * @throws OutOfMemoryError, ValidationError, OverLimitError
   */
  static async create(
    program: Program,
    outputs: readonly Tensor[],
    plan = planFor(program, outputs),
    workspace?: Workspace,
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
    return device.guarded(`program ${program.name}`, () => {
      const cuts = submitCuts(plan.commands, device.isSoftware);
      return new Executable(program, plan, pipelines, cuts, workspaceOn(device, workspace));
    });
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
      const range = this.locate(operand);
      return { binding, resource: this.program.device.canaries ? withGuard(this.plan, operand, range) : range };
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

  get reused(): ReadonlySet<VirtualStorage> {
    return this.plan.reused;
  }

  get holdsValues(): boolean {
    return this.#workspace?.holdsValuesOf(this) ?? true;
  }

  locate(x: Tensor): BufferRange {
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
      const { gpu, reproducible } = this.program.device;
      writeBuffer(gpu, this.locate(tensor), reproducible ? allOnGrid(data) : data);
    }
  }

  /** Encodes and submits every command once; `readBack` ranges are copied to a staging buffer in the same submit. */
  submit(readBack: readonly Tensor[] = [], staging?: GPUBuffer): void {
    const { device } = this.program;
    device.throwIfLost();
    this.#workspace?.enter(this);
    this.cuts.forEach((from, i) => {
      const to = this.cuts[i + 1] ?? this.#steps.length;
      const encoder = device.gpu.createCommandEncoder({ label: this.program.name });
      this.#encode(encoder, from, to);
      if (i === this.cuts.length - 1 && staging) this.#copyOut(encoder, readBack, staging);
      device.submit(encoder.finish());
    });
    for (const state of this.#updated) state.overwritten = device.sequence.next++;
    device.canaries?.record(this.#guards);
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
      const [x, y, z] = step.workgroups;
      pass.dispatchWorkgroups(x, y, z);
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

  /** Runs every dispatch in a pass of its own between two timestamps. */
  time(): Promise<DispatchTime[]> {
    return timeSteps(this.program.device, this.#steps);
  }

  /** Frees arenas, inputs and uniforms; state stays. */
  destroy(): void {
    const { device } = this.program;
    const isFirst = this.#arenas.length > 0;
    const arenas = this.#arenas.splice(0);
    if (isFirst) this.#workspace?.release();
    for (const buffer of [...(this.#workspace ? [] : arenas), this.#inputBuffer, this.#uniforms])
      if (buffer) device.destroyBuffer(buffer);
  }
}

/** Words behind every tensor that say whether it was overrun must stay as they are, so that memory is not shared then. */
function workspaceOn({ canaries }: Device, workspace: Workspace | undefined): Workspace | undefined {
  return canaries ? undefined : workspace;
}

/** State that commands write, but for the flags of bad indices. */
function updatedBy(commands: readonly Command[]): Set<StateStorage> {
  const written = commands.flatMap(writtenBy).map(({ storage }) => storage);
  return new Set(written.filter((storage) => storage.kind === "state").filter(({ name }) => name !== indexFlagsName));
}

export function planFor(program: Program, outputs: readonly Tensor[]): Plan {
  const { canaries, limits } = program.device;
  return planProgram(program.commands, outputs, {
    maxBufferBytes: limits.maxBufferSize,
    ...(canaries ? { guardBytes } : {}),
  });
}

/** Bytes of the uniform values of all dispatches, equal ones once, and where those of each command lie. */
export function layOutUniforms(commands: readonly PlannedCommand[], reproducible: boolean) {
  const blocks: ArrayBuffer[] = [];
  const known = new Map<string, number>();
  const ranges = commands.map(({ command }) => {
    if (command.type === "assign" || !command.kernel.params) return undefined;
    const { name, params: schema } = command.kernel;
    const params = reproducible ? paramsOnGrid(name, schema, command.params) : command.params;
    const block = uniformBytes(name, schema, params);
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
