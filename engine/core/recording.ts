// The parts of a recording, which refer to each other: tensors, the program that computes them, the device that makes both. As
// declarations in one file, so that no two files need each other: tensor.ts, program.ts and run/device.ts implement them.
import type {
  BufferBook,
  BufferOwner,
  BufferRange,
  DeviceCounters,
  DeviceHealth,
  DeviceInfo,
  KernelWarmUp,
  PipelineSource,
  StagingBuffers,
  SubgroupMatrices,
  Waits,
} from "./device_parts.ts";
import type { DType, HostArray } from "./dtype.ts";
import type { Kernel, KernelParams } from "./kernel.ts";
import type { NestedNumbers } from "./nested_numbers.ts";
import type { DispatchOptions, ProgramOptions, Recorded } from "./recording_options.ts";
import type { Shape } from "./shape.ts";
import type { StateStorage } from "./storage.ts";
import type { TuningChoices } from "./tuning_choices.ts";

/** A typed, shaped range of memory, either recorded by a program (virtual) or persistent (state). Immutable in shape. */
export interface Tensor {
  readonly device: Device;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly storage: Storage;
  /** Offset into the storage, in bytes; a multiple of 256. */
  readonly byteOffset: number;
  /** Number of elements. */
  readonly size: number;
  /** The tensor that this one is a reshaped form of; both share one gradient. Itself unless it was reshaped. */
  readonly base: Tensor;
  /** Set for a part of another tensor that shares its memory: how it hands on its gradient. */
  readonly origin: TapeEntry | undefined;
  readonly sizeBytes: number;
  /** The program that computes this tensor; for state, a new one that the first operation starts. */
  readonly program: Program;
  /**
   * Copies the values to the host; runs the recorded operations first if the tensor was recorded outside of an explicit program.
   *
   * @throws ReusedTensorError if the planner gave the memory to another tensor
   * @throws IndexError if an operation of the program met an index outside its table
   */
  read(): Promise<HostArray>;
  /**
   * Frees the memory of state, with that of all tensors that lie in it; a later use starts from zeros. A recorded tensor has none of
   * its own: its program frees it.
   */
  destroy(): void;
}

/** Memory of a recorded program; the planner decides where it lies. */
export interface VirtualStorage {
  readonly kind: "virtual";
  readonly sizeBytes: number;
  /** The program that recorded it; follow `Program.resolve` for absorbed ones. */
  readonly owner: Program;
  /** Set for program inputs: their name. They keep their memory for the whole program. */
  readonly inputName?: string;
  /** Set once an eager read gave the tensor a buffer of its own. */
  materialized?: StateStorage;
}

export type Storage = VirtualStorage | StateStorage;

/** One kernel launch of a recorded program. */
export interface Dispatch extends Recorded {
  readonly type: "dispatch";
  readonly kernel: Kernel;
  readonly params: KernelParams;
  readonly operands: Readonly<Record<string, Tensor>>;
  readonly workgroups: readonly [number, number, number];
  readonly options: DispatchOptions;
}

/** A copy of a recorded tensor into state; the planner lets the producer write there directly where it can. */
export interface Assignment extends Recorded {
  readonly type: "assign";
  readonly source: Tensor;
  readonly target: Tensor;
}

export type Command = Dispatch | Assignment;

/** Gradients that reached the inputs of an operation on other paths already. */
export interface PendingGradients {
  /**
   * Hands over the gradient collected so far for an input, or undefined. Whoever takes it adds it to the gradient it returns,
   * which saves the separate sum.
   */
  take(input: number): Tensor | undefined;
}

/**
 * From the gradient of a result to those of the inputs; entries that are not needed may be undefined. No gradient for a needed
 * input says that the result, as a function of it, is flat: so for an index or a mask.
 */
export type GradientRule = (
  dy: Tensor,
  needs: readonly boolean[],
  pending: PendingGradients,
) => readonly (Tensor | undefined)[];

/** How the gradient of `y` gives those of its inputs. */
export interface TapeEntry extends Recorded {
  readonly y: Tensor;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly rule: GradientRule;
}

/** A result together with the gradient that arrives at it. */
export interface SeededOutput {
  readonly output: Tensor;
  /** Gradient with respect to `output`, in its shape; 1 if left out, which needs a scalar. */
  readonly gradient?: Tensor;
}

/** State in which kernels note bad indices, and the operation of each slot in use. */
export interface FlagSet {
  readonly tensor: Tensor;
  readonly operations: string[];
}

/** What runs a program, once it was compiled. */
export interface Runner {
  /** Storages whose memory another tensor takes after their last use. */
  readonly reused: ReadonlySet<VirtualStorage>;
  /** False once another program used the memory that both share. */
  readonly holdsValues: boolean;
  /** The buffer range of a tensor. */
  locate(x: Tensor): BufferRange;
}

/**
 * A flat list of kernel launches over virtual tensors, recorded once. A program that was absorbed by another one passes every
 * call on to that one, so it does not matter whichever operand of an operation is asked for its program.
 */
export interface Program {
  readonly device: Device;
  readonly name: string;
  readonly eager: boolean;
  readonly inference: boolean;
  readonly inputs: Map<string, Tensor>;
  readonly commands: Command[];
  readonly tape: TapeEntry[];
  /** Index flags of the program's operations; several sets once recordings were merged. */
  readonly flags: FlagSet[];
  /** State that is freed with the program. */
  readonly owned: Tensor[];
  /** Set once another program took over the commands. */
  absorbedBy: Program | undefined;
  /** Set once the program was compiled. */
  runner: Runner | undefined;
  /** The program that now holds these commands. */
  resolve(): Program;
  /** Takes over the commands of an eager program. */
  absorb(other: Program): Program;
  /**
   * Takes over the recordings behind these tensors that belong to no explicit program, such as `gelu` of state; an eager program
   * among tensors of an explicit one is taken over by that.
   *
   * @returns the one program that holds all of them
   * @throws DeviceMixError, ProgramMixError for tensors of another device or explicit program
   */
  adopt(operation: string, tensors: readonly Tensor[]): Program;
  /** Makes state, such as a table of constants, part of the program: it is freed with it. */
  own<T extends Tensor>(state: T): T;
  /** Frees what the program owns. */
  destroyOwned(): void;
  /** A tensor that every run is given from the host. @throws OptionError for a name that is taken */
  input(name: string, shape: Shape, dtype?: DType): Tensor;
  /** An uninitialised virtual tensor. */
  empty(shape: Shape, dtype?: DType): Tensor;
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
    options?: DispatchOptions,
  ): void;
  /** Appends "state ← value"; the value's producer writes in place where that is safe. */
  assign(target: Tensor, source: Tensor): void;
  /**
   * States how the gradient of `y` gives those of its inputs. It is kept by the program that holds `y`.
   *
   * @param rule - receives dy and, per input, whether its gradient is wanted
   * @returns `y`
   */
  record<T extends Tensor>(y: T, inputs: readonly (Tensor | undefined)[], rule: GradientRule): T;
  /**
   * Gradients of the scalar `loss` (or of `sum(loss * seed)`) with respect to `targets`, recorded into this program; zeros for a
   * target that the loss does not depend on.
   *
   * @throws NoGradientError if the loss depends on a target through an operation that states no gradient
   */
  gradients(loss: Tensor, targets: readonly Tensor[], seed?: Tensor): Tensor[];
  /** Gradients with respect to `targets` where gradients arrive at several results, such as pooled features. @throws NoGradientError */
  pullBack(outputs: readonly SeededOutput[], targets: readonly Tensor[]): Tensor[];
  /** A slot that a kernel sets to `bad index + 1`; the next read then throws an IndexError that names `operation`. */
  flag(operation: string): { readonly tensor: Tensor; readonly slot: number };
}

/** A choice that an operation made while it was recorded, with a way to measure it. */
export interface TuningRequest {
  readonly operation: string;
  readonly shapeClass: string;
  /** Worth a measurement, best guess first. */
  readonly candidates: readonly string[];
  /** Run as well, but only where they are forced or remembered. */
  readonly others: readonly string[];
  /** Records just this operation with the given candidate, on inputs of its own. @returns its results */
  readonly example: (program: Program, candidate: string) => readonly Tensor[];
}

/** What differentiation records besides the rules of the operations. */
export interface GradientArithmetic {
  /** A tensor with the same value everywhere. */
  full(program: Program, shape: Shape, value: number, dtype?: DType): Tensor;
  /** The sum of two tensors of one shape. */
  add(a: Tensor, b: Tensor): Tensor;
}

/** An open device: limits, features, compiled kernels, tuning table. */
export interface Device extends BufferOwner {
  readonly gpu: GPUDevice;
  readonly info: DeviceInfo;
  readonly limits: GPUSupportedLimits;
  readonly features: ReadonlySet<string>;
  readonly pipelines: PipelineSource;
  readonly staging: StagingBuffers;
  readonly tuning: TuningChoices<TuningRequest>;
  readonly arithmetic: GradientArithmetic;
  /** Number of the next command or rule that is recorded. */
  readonly sequence: { next: number };
  readonly checksFinite: boolean;
  /** Whether every operation has to give the same bytes on every adapter. */
  readonly reproducible: boolean;
  readonly counters: DeviceCounters;
  readonly health: DeviceHealth;
  readonly buffers: BufferBook;
  /** Whether `close` destroys the device. */
  readonly ownsGpu: boolean;
  /** Size of every subgroup where the adapter has just one size; undefined otherwise. */
  readonly subgroupSize: number | undefined;
  /** Smallest and largest size that a kernel may ask for; undefined where it cannot ask. */
  readonly subgroupRange: readonly [number, number] | undefined;
  /** Products that its subgroups compute at once. */
  readonly matrices: SubgroupMatrices;
  /** How promises of the device are awaited. */
  readonly waits: Waits;
  /** Where the driver compiles kernels at their first launch and a second device can help. */
  readonly warmUp: KernelWarmUp | undefined;
  /** Where something to know is told. */
  readonly notice: (line: string) => void;
  /** True where a CPU does the work. */
  readonly isSoftware: boolean;
  /**
   * State holding host values: numbers in a list, a typed array of any kind, or lists within lists, whose shape is taken.
   *
   * @throws ShapeError, DTypeError for what is no number or does not fit the type, NonFiniteError (check mode), OverLimitError
   */
  tensor(data: NestedNumbers, shape?: Shape, dtype?: DType, name?: string): Tensor;
  /** State of zeros; its memory is taken on first use. @throws OverLimitError */
  zeros(shape: Shape, dtype?: DType, name?: string): Tensor;
  /** Overwrites state with host values. @throws ShapeError, DTypeError, ValidationError */
  write(tensor: Tensor, data: ArrayLike<number>): void;
  /** Copies a tensor to the host; see `Tensor.read`. */
  read(tensor: Tensor): Promise<HostArray>;
  /** A program without commands. */
  program(options?: ProgramOptions): Program;
  /** @throws MissingFeatureError */
  requireFeature(operation: string, feature: string): void;
  /** Runs creation code in a validation scope. @throws ValidationError, OutOfMemoryError */
  guarded<T>(what: string, create: () => T): Promise<T>;
  submit(commands: GPUCommandBuffer): void;
  /** Resolves when all submitted work is done. @throws DeviceLostError */
  idle(): Promise<void>;
  /** @throws DeviceLostError, or the first error that the device reported since the last call */
  throwIfLost(): void;
  /** Destroys the device unless the caller owns it. Tensors of it are unusable afterwards. */
  close(): void;
}
