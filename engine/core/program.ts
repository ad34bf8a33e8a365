import type { Device } from "../run/device.ts";
import { type GradientRule, type SeededOutput, type TapeEntry, gradients as tapeGradients } from "./autograd.ts";
import { bytesPerElement, type DType } from "./dtype.ts";
import { DeviceMixError, OptionError, OverLimitError, ProgramMixError, ShapeError, ValidationError } from "./errors.ts";
import type { Declarations, Kernel, KernelParams } from "./kernel.ts";
import { checkShape, type Shape, showShape, sizeOf } from "./shape.ts";
import { indexFlagsName, type Storage, type VirtualStorage } from "./storage.ts";
import { stateOf, Tensor } from "./tensor.ts";

export interface DispatchOptions {
  /** Values of pipeline overrides. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Values of declared constants and aliases in the shader text. */
  readonly declarations?: Declarations;
  /** Floating-point operations, for the statistics. */
  readonly flops?: number;
  /** Bytes that the kernel touches of operands which it does not use as a whole, by name, for the statistics. */
  readonly touchedBytes?: Readonly<Record<string, number>>;
  /** A kernel that computes `output` over the memory of `operand`, used where that operand is not needed afterwards. */
  readonly inPlace?: { readonly kernel: Kernel; readonly output: string; readonly operand: string };
}

/** One kernel launch of a recorded program. */
export interface Dispatch {
  readonly type: "dispatch";
  readonly kernel: Kernel;
  readonly params: KernelParams;
  readonly operands: Readonly<Record<string, Tensor>>;
  readonly workgroups: readonly [number, number, number];
  readonly options: DispatchOptions;
}

/** A copy of a recorded tensor into state; the planner lets the producer write there directly where it can. */
export interface Assignment {
  readonly type: "assign";
  readonly source: Tensor;
  readonly target: Tensor;
}

export type Command = Dispatch | Assignment;

export interface ProgramOptions {
  readonly name?: string;
  /** Recorded by free functions outside of an explicit program. */
  readonly eager?: boolean;
  /** No gradient will be asked for, so ops keep nothing for a backward pass. */
  readonly inference?: boolean;
}

/** Slots of one tensor of index flags. */
const flagSlots = 256;

/** State in which kernels note bad indices, and the operation of each slot in use. */
export interface FlagSet {
  readonly tensor: Tensor;
  readonly operations: string[];
}

/** A flat list of kernel launches over virtual tensors, recorded once. */
export class Program {
  readonly name: string;
  readonly eager: boolean;
  readonly inference: boolean;
  readonly inputs = new Map<string, Tensor>();
  readonly commands: Command[] = [];
  readonly tape: TapeEntry[] = [];
  /** Index flags of the program's operations; several sets once recordings were merged. */
  readonly flags: FlagSet[] = [];
  readonly #owned: Tensor[] = [];
  #absorbedBy: Program | undefined;

  constructor(
    readonly device: Device,
    options: ProgramOptions = {},
  ) {
    this.name = options.name ?? "program";
    this.eager = options.eager ?? false;
    this.inference = options.inference ?? false;
  }

  /** The program that now holds these commands. */
  resolve(): Program {
    return this.#absorbedBy?.resolve() ?? this;
  }

  /** Takes over the commands of an eager program. */
  absorb(other: Program): Program {
    if (other === this) return this;
    this.commands.push(...other.commands.splice(0));
    this.tape.push(...other.tape.splice(0));
    this.flags.push(...other.flags);
    this.#owned.push(...other.#owned);
    other.#absorbedBy = this;
    return this;
  }

  /**
   * Takes over the recordings behind these tensors that belong to no explicit program, such as `gelu` of state.
   *
   * @throws DeviceMixError, ProgramMixError for tensors of another device or explicit program
   */
  adopt(operation: string, tensors: readonly Tensor[]): void {
    for (const x of tensors) {
      if (x.device !== this.device) {
        throw new DeviceMixError(
          `${operation}: a tensor lives on another device than "${this.name}"; read it and upload it to this one`,
        );
      }
      if (stateOf(x) || x.program === this) continue;
      if (!x.program.eager) {
        throw new ProgramMixError(
          `${operation}: a tensor belongs to the program "${x.program.name}", not to "${this.name}"; pass it as an input or keep it in state`,
        );
      }
      this.absorb(x.program);
    }
  }

  /** Makes state, such as a table of constants, part of the program: it is freed with it. */
  own<T extends Tensor>(state: T): T {
    this.#owned.push(state);
    return state;
  }

  /** Frees what the program owns. */
  destroyOwned(): void {
    for (const state of this.#owned.splice(0)) state.destroy();
  }

  /** A tensor that every run is given from the host. */
  input(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
    if (this.inputs.has(name))
      throw new OptionError(`${this.name}: the input ${name} is declared twice; choose another name`);
    const tensor = this.#virtual(shape, dtype, name);
    this.inputs.set(name, tensor);
    return tensor;
  }

  /** An uninitialised virtual tensor. */
  empty(shape: Shape, dtype: DType = "f32"): Tensor {
    return this.#virtual(shape, dtype);
  }

  #virtual(shape: Shape, dtype: DType, inputName?: string): Tensor {
    const what = inputName === undefined ? "tensor" : `input ${inputName}`;
    checkShape(what, shape);
    const sizeBytes = Math.ceil((sizeOf(shape) * bytesPerElement[dtype]) / 4) * 4;
    const limit = this.device.limits.maxStorageBufferBindingSize;
    if (sizeBytes > limit) {
      throw new OverLimitError(
        `${this.name}: ${what} ${showShape(shape)} ${dtype} has ${sizeBytes} bytes, over maxStorageBufferBindingSize ${limit}; use a smaller batch`,
      );
    }
    const storage: VirtualStorage = {
      kind: "virtual",
      sizeBytes,
      owner: this,
      ...(inputName === undefined ? {} : { inputName }),
    };
    return new Tensor(this.device, shape, dtype, storage);
  }

  /**
   * Appends a kernel launch.
   *
   * @param operands - one tensor per storage binding of the kernel
   * @param workgroups - one to three counts
   * @throws ValidationError if an operand is missing, or one buffer would be bound for reading and for writing
   * @throws OverLimitError if a workgroup count is over the limit of the device
   */
  dispatch(
    kernel: Kernel,
    params: KernelParams,
    operands: Readonly<Record<string, Tensor>>,
    workgroups: readonly number[],
    options: DispatchOptions = {},
  ): void {
    this.adopt(kernel.name, Object.values(operands));
    checkOperands(kernel, operands);
    const [x = 1, y = 1, z = 1] = workgroups;
    const limit = this.device.limits.maxComputeWorkgroupsPerDimension;
    if (Math.max(x, y, z) > limit || Math.min(x, y, z) < 1) {
      throw new OverLimitError(
        `${kernel.name}: ${x} × ${y} × ${z} workgroups, expected 1 … ${limit} each; split the work over more axes`,
      );
    }
    this.commands.push({ type: "dispatch", kernel, params, operands, workgroups: [x, y, z], options });
  }

  /** Appends "state ← value"; the value's producer writes in place where that is safe. */
  assign(target: Tensor, source: Tensor): void {
    if (target.storage.kind !== "state")
      throw new ValidationError("assign: the target is not state; only state outlives a run");
    if (target.size !== source.size || target.dtype !== source.dtype) {
      throw new ShapeError(
        `assign: ${showShape(source.shape)} ${source.dtype} does not fit the state ${showShape(target.shape)} ${target.dtype}`,
      );
    }
    this.adopt("assign", [target, source]);
    this.commands.push({ type: "assign", source, target });
  }

  /**
   * States how the gradient of `y` gives those of its inputs.
   *
   * @param rule - receives dy and, per input, whether its gradient is wanted
   * @returns `y`
   */
  record(y: Tensor, inputs: readonly (Tensor | undefined)[], rule: GradientRule): Tensor {
    if (!this.inference) this.tape.push({ y, inputs, rule });
    return y;
  }

  /** Gradients of the scalar `loss` (or of `sum(loss * seed)`) with respect to `targets`, recorded into this program. */
  gradients(loss: Tensor, targets: readonly Tensor[], seed?: Tensor): Tensor[] {
    return this.pullBack([seed ? { output: loss, gradient: seed } : { output: loss }], targets);
  }

  /** Gradients with respect to `targets` where gradients arrive at several results, such as pooled features. */
  pullBack(outputs: readonly SeededOutput[], targets: readonly Tensor[]): Tensor[] {
    this.adopt("gradients", [
      ...outputs.flatMap(({ output, gradient }) => (gradient ? [output, gradient] : [output])),
      ...targets,
    ]);
    return tapeGradients(this, outputs, targets);
  }

  /** A slot that a kernel sets to `bad index + 1`; the next read then throws an IndexError that names `operation`. */
  flag(operation: string): { readonly tensor: Tensor; readonly slot: number } {
    let set = this.flags.find(({ operations }) => operations.length < flagSlots);
    if (!set) {
      set = { tensor: this.own(this.device.zeros([flagSlots], "u32", indexFlagsName)), operations: [] };
      this.flags.push(set);
    }
    return { tensor: set.tensor, slot: set.operations.push(operation) - 1 };
  }
}

function checkOperands(kernel: Kernel, operands: Readonly<Record<string, Tensor>>): void {
  const written = new Set<Storage | GPUBuffer>();
  const read = new Map<Storage, string>();
  for (const { name, access } of kernel.bindings) {
    if (access === "uniform") continue;
    const operand = operands[name];
    if (!operand)
      throw new ValidationError(
        `${kernel.name}: no tensor for the binding ${name}; pass one operand per storage binding`,
      );
    const storage = stateOf(operand) ?? operand.storage;
    if (access === "write") written.add(storage);
    else read.set(storage, name);
  }
  for (const [storage, name] of read) {
    if (written.has(storage)) {
      throw new ValidationError(
        `${kernel.name}: ${name} shares memory with a tensor that the same dispatch writes; keep them in different state or use the in-place form`,
      );
    }
  }
}
