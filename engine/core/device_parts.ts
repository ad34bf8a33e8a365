import type { Declarations, Kernel } from "./kernel.ts";

/** What kind of adapter a device runs on. */
export type AdapterType = "discrete" | "integrated" | "software" | "unknown";

export interface DeviceInfo {
  readonly name: string;
  readonly type: AdapterType;
  readonly backend: string;
  readonly driver: string;
  readonly vendor: string;
  readonly architecture: string;
}

/** Element types of matrices of a subgroup, as adapters name them. */
export type MatrixElement = "f32" | "f16" | "u32" | "i32" | "u8" | "i8";

/** A product that a subgroup computes at once ("tensor cores"): `rows × depth` times `depth × columns`. */
export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Of the operands. */
  readonly component: MatrixElement;
  /** Of the sums. */
  readonly result: MatrixElement;
}

/** What kernels may use of the matrices of an adapter. */
export interface SubgroupMatrices {
  /** As the adapter lists them; empty where it has none. */
  readonly shapes: readonly MatrixShape[];
  /** Invocations of the subgroups that hold a matrix; undefined where no size is known to work. */
  readonly subgroupSize: number | undefined;
}

/** What the device made so far; tests count with it. */
export interface DeviceCounters {
  buffers: number;
  /** Of all buffers ever created. */
  bytes: number;
  /** Of buffers that were not freed yet. */
  heldBytes: number;
  submits: number;
}

/** A part of a buffer, in bytes. */
export interface BufferRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Canary words behind a tensor. */
export interface Guard extends BufferRange {
  /** Whose they are, for the error. */
  readonly owner: string;
}

/** Keeps canary words behind every tensor: set in a test mode of the device. */
export interface CanaryKeeper {
  /** Fills a range with canary words. */
  fill(range: BufferRange): void;
  /** Takes a copy of the guards as they are once the work submitted so far is done. */
  record(guards: readonly Guard[]): void;
  /** @throws OutOfBoundsError if a canary changed since the last check */
  check(): Promise<void>;
}

/** Awaits promises of a device without burning a core. */
export interface Waits {
  /** Settles as `promise` does. */
  during<T>(promise: Promise<T>): Promise<T>;
}

/** What a pipeline is made of. */
export interface PipelineRecipe {
  readonly kernel: Kernel;
  /** The shader with its declarations filled in. */
  readonly text: string;
  readonly constants: Readonly<Record<string, number>>;
}

/** A compiled kernel with the layout that its bind groups follow. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly recipe: PipelineRecipe;
}

/** Compiles kernels, each once. */
export interface PipelineSource {
  /** @throws ValidationError (kernel name, WGSL line), MissingFeatureError */
  get(kernel: Kernel, constants?: Readonly<Record<string, number>>, declarations?: Declarations): Promise<Pipeline>;
}

/** Buffers that carry values to the host. */
export interface StagingBuffers {
  /** A free buffer of at least `sizeBytes`. */
  take(sizeBytes: number): GPUBuffer;
  /** Maps the buffer, copies its first bytes out and keeps it for reuse. */
  collect(buffer: GPUBuffer, sizeBytes: number): Promise<ArrayBuffer>;
}

/** Lets a second device compile kernels while the first run of a program is at its first ones. */
export interface KernelWarmUp {
  /**
   * @param pipelines - in the order of their launches
   * @param firstRun - settles when the first run is over
   * @returns how many kernels were launched
   */
  during(pipelines: readonly Pipeline[], firstRun: Promise<unknown>): Promise<number>;
  /** Resolves when no help is under way. */
  idle(): Promise<void>;
}

/** Makes and frees buffers, and counts them. */
export interface BufferOwner {
  readonly limits: Pick<GPUSupportedLimits, "maxBufferSize">;
  readonly canaries: CanaryKeeper | undefined;
  /** @throws OverLimitError; running out of memory is an OutOfMemoryError at the next call that checks the device */
  createBuffer(label: string, sizeBytes: number, usage: number): GPUBuffer;
  /** Frees a buffer that `createBuffer` made; doing so again changes nothing. */
  destroyBuffer(buffer: GPUBuffer): void;
}

/** Makes and frees the buffers of a device and keeps the books. */
export interface BufferBook {
  create(label: string, sizeBytes: number, usage: number): GPUBuffer;
  destroy(buffer: GPUBuffer): void;
}

/** What went wrong on a device: it tells of it later than the call that caused it. */
export interface DeviceHealth {
  /** Keeps the first error until the next check. */
  report(error: Error): void;
  /** Notes that the device is gone, and why. */
  lose(reason: string): void;
  /** @throws DeviceLostError, or the first error that was reported since the last call */
  throwIfLost(): void;
  /** A typed error for a failed wait. */
  describe(cause: unknown): Error;
}
