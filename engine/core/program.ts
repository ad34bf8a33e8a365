import { gradients as tapeGradients } from "./autograd.ts";
import { bytesPerElement, type DType } from "./dtype.ts";
import { OptionError, OverLimitError, ShapeError, ValidationError } from "./errors.ts";
import type { Kernel, KernelParams } from "./kernel.ts";
import { mergeCommands } from "./merge_commands.ts";
import type {
  Command,
  Device,
  FlagSet,
  GradientRule,
  Program as RecordedProgram,
  Runner,
  SeededOutput,
  Storage,
  TapeEntry,
  VirtualStorage,
} from "./recording.ts";
import type { DispatchOptions, ProgramOptions } from "./recording_options.ts";
import { checkShape, type Shape, showShape, sizeOf } from "./shape.ts";
import { indexFlagsName, StateStorage } from "./storage.ts";
import { appendOnce, wayBack } from "./tape.ts";
import { mergedProgram, stateOf, Tensor } from "./tensor.ts";

/** Slots of one tensor of index flags. */
const flagSlots = 256;

/**
 * A flat list of kernel launches over virtual tensors, recorded once. A program that was absorbed by another one passes every
 * call on to that one, so it does not matter which operand of an operation is asked for its program.
 */
export class Program implements RecordedProgram {
  readonly name: string;
  readonly eager: boolean;
  readonly inference: boolean;
  readonly inputs = new Map<string, Tensor>();
  readonly commands: Command[] = [];
  readonly tape: TapeEntry[] = [];
  readonly flags: FlagSet[] = [];
  readonly owned: Tensor[] = [];
  absorbedBy: RecordedProgram | undefined;
  runner: Runner | undefined;

  constructor(
    readonly device: Device,
    options: ProgramOptions = {},
  ) {
    this.name = options.name ?? "program";
    this.eager = options.eager ?? false;
    this.inference = options.inference ?? false;
  }

  resolve(): RecordedProgram {
    return this.absorbedBy?.resolve() ?? this;
  }

  absorb(program: RecordedProgram): RecordedProgram {
    const [owner, other] = [this.resolve(), program.resolve()];
    if (other === owner) return owner;
    mergeCommands(owner.commands, other.commands.splice(0));
    if (!owner.inference) appendOnce(owner.tape, other.tape.splice(0));
    owner.flags.push(...other.flags);
    owner.owned.push(...other.owned.splice(0));
    for (const [name, tensor] of other.inputs) addInput(owner, name, tensor);
    other.absorbedBy = owner;
    return owner;
  }

  adopt(operation: string, tensors: readonly Tensor[]): RecordedProgram {
    const owner = this.resolve();
    return mergedProgram(operation, this.device, owner, tensors) ?? owner;
  }

  own<T extends Tensor>(state: T): T {
    this.resolve().owned.push(state);
    return state;
  }

  destroyOwned(): void {
    for (const state of this.resolve().owned.splice(0)) state.destroy();
  }

  input(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
    const owner = this.resolve();
    const tensor = virtualTensor(owner, shape, dtype, name);
    addInput(owner, name, tensor);
    return tensor;
  }

  empty(shape: Shape, dtype: DType = "f32"): Tensor {
    return virtualTensor(this.resolve(), shape, dtype);
  }

  dispatch(
    kernel: Kernel,
    params: KernelParams,
    operands: Readonly<Record<string, Tensor>>,
    workgroups: readonly number[],
    options: DispatchOptions = {},
  ): void {
    const owner = this.adopt(kernel.name, Object.values(operands));
    checkOperands(kernel, operands);
    const [x = 1, y = 1, z = 1] = workgroups;
    const limit = this.device.limits.maxComputeWorkgroupsPerDimension;
    if (Math.max(x, y, z) > limit || Math.min(x, y, z) < 1) {
      throw new OverLimitError(
        `${kernel.name}: ${x} × ${y} × ${z} workgroups, expected 1 … ${limit} each; split the work over more axes`,
      );
    }
    const order = this.device.sequence.next++;
    owner.commands.push({ type: "dispatch", kernel, params, operands, workgroups: [x, y, z], options, order });
  }

  assign(target: Tensor, source: Tensor): void {
    if (target.storage.kind !== "state")
      throw new ValidationError("assign: the target is not state; only state outlives a run");
    if (target.size !== source.size || target.dtype !== source.dtype) {
      throw new ShapeError(
        `assign: ${showShape(source.shape)} ${source.dtype} does not fit the state ${showShape(target.shape)} ${target.dtype}`,
      );
    }
    const owner = this.adopt("assign", [target, source]);
    owner.commands.push({ type: "assign", source, target, order: this.device.sequence.next++ });
  }

  record<T extends Tensor>(y: T, inputs: readonly (Tensor | undefined)[], rule: GradientRule): T {
    const given = inputs.filter((x) => x !== undefined);
    const owner = this.adopt("record", [y, ...given]);
    if (owner.inference) return y;
    appendOnce(owner.tape, given.flatMap(wayBack));
    owner.tape.push({ y, inputs, rule, order: this.device.sequence.next++ });
    return y;
  }

  gradients(loss: Tensor, targets: readonly Tensor[], seed?: Tensor): Tensor[] {
    return this.pullBack([seed ? { output: loss, gradient: seed } : { output: loss }], targets);
  }

  pullBack(outputs: readonly SeededOutput[], targets: readonly Tensor[]): Tensor[] {
    const results = outputs.map(({ output }) => output);
    const seeds = outputs.flatMap(({ gradient }) => gradient ?? []);
    const owner = this.adopt("gradients", [...results, ...seeds, ...targets]);
    appendOnce(owner.tape, results.flatMap(wayBack));
    return tapeGradients(owner, outputs, targets);
  }

  flag(operation: string): { readonly tensor: Tensor; readonly slot: number } {
    const { flags } = this.resolve();
    let set = flags.find(({ operations }) => operations.length < flagSlots);
    if (!set) {
      // Not by `device.zeros`, which would put the shape behind the name that tells these from other state.
      const storage = new StateStorage(this.device, indexFlagsName, 4 * flagSlots);
      set = { tensor: this.own(new Tensor(this.device, [flagSlots], "u32", storage)), operations: [] };
      flags.push(set);
    }
    return { tensor: set.tensor, slot: set.operations.push(operation) - 1 };
  }
}

function addInput(program: RecordedProgram, name: string, tensor: Tensor): void {
  if (program.inputs.has(name))
    throw new OptionError(`${program.name}: the input ${name} is declared twice; choose another name`);
  program.inputs.set(name, tensor);
}

function virtualTensor(owner: RecordedProgram, shape: Shape, dtype: DType, inputName?: string): Tensor {
  const what = inputName === undefined ? "tensor" : `input ${inputName}`;
  checkShape(what, shape);
  const sizeBytes = Math.ceil((sizeOf(shape) * bytesPerElement[dtype]) / 4) * 4;
  const limit = owner.device.limits.maxStorageBufferBindingSize;
  if (sizeBytes > limit) {
    throw new OverLimitError(
      `${owner.name}: ${what} ${showShape(shape)} ${dtype} has ${sizeBytes} bytes, over maxStorageBufferBindingSize ${limit}; use a smaller batch`,
    );
  }
  const named = inputName === undefined ? {} : { inputName };
  const storage: VirtualStorage = { kind: "virtual", sizeBytes, owner, ...named };
  return new Tensor(owner.device, shape, dtype, storage);
}

function checkOperands(kernel: Kernel, operands: Readonly<Record<string, Tensor>>): void {
  const written = new Set<Storage>();
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
