import { platform } from "#platform";
import type {
  BufferBook,
  CanaryKeeper,
  DeviceCounters,
  DeviceHealth,
  DeviceInfo,
  KernelWarmUp,
  PipelineSource,
  StagingBuffers,
  SubgroupMatrices,
} from "../core/device_parts.ts";
import { bytesPerElement, type DType, type HostArray, hostArray } from "../core/dtype.ts";
import { MissingFeatureError, OverLimitError, ShapeError, ValidationError } from "../core/errors.ts";
import { flattened, type NestedNumbers } from "../core/nested_numbers.ts";
import { allOnGrid } from "../core/number_grid.ts";
import { Program } from "../core/program.ts";
import type { GradientArithmetic, Device as RecordingDevice, TuningRequest } from "../core/recording.ts";
import type { ProgramOptions } from "../core/recording_options.ts";
import { type Shape, showShape, sizeOf } from "../core/shape.ts";
import { StateStorage } from "../core/storage.ts";
import { stateOf, Tensor } from "../core/tensor.ts";
import type { TuningChoices } from "../core/tuning_choices.ts";
import { TuningTable } from "../core/tuning_table.ts";
import { add } from "../ops/binary.ts";
import { full } from "../ops/fill.ts";
import { describeAdapter, subgroupRangeOf, subgroupSizeOf } from "./adapter_info.ts";
import { matricesOf } from "./adapter_matrices.ts";
import { CountedBuffers } from "./buffer_book.ts";
import { Canaries } from "./canaries.ts";
import { ReportedHealth } from "./device_health.ts";
import { checkFinite, writeBuffer } from "./host_transfer.ts";
import { WarmUp } from "./pipeline_warm_up.ts";
import { PipelineCache } from "./pipelines.ts";
import { readTensor } from "./read_tensor.ts";
import { StagingPool } from "./readback_buffers.ts";

export interface DeviceOptions {
  /** `auto` (default), `hardware`, `software`, `interpreter`, or a part of an adapter's name; `MIMREFINE_ADAPTER` gives the default. */
  readonly adapter?: string;
  /** A device that the caller owns; it is not destroyed by `close`. */
  readonly device?: GPUDevice;
  /** An adapter of the caller to request a device from. */
  readonly gpuAdapter?: GPUAdapter;
  /** Leave the index clamping of Dawn on (Node; other platforms always clamp). Default false. */
  readonly robust?: boolean;
  /** Put canary words behind every tensor and check them at every read-back: for tests of kernels. Default false. */
  readonly canaries?: boolean;
  /**
   * Give every operation the same bytes on every adapter, compiler and runtime, at some cost in time. Half precision and subgroup
   * matrices are refused; products, quotients and functions below 2^-102 count as 0, operands of matrix products below 2^-51.
   * Default false.
   */
  readonly reproducible?: boolean;
  /** Refuse uploads that hold NaN or infinities. Default false. */
  readonly checkFinite?: boolean;
  /** Receives notices of one line, such as that of a software adapter; the default writes to the error console. */
  readonly notice?: (line: string) => void;
}

/**
 * An open device: limits, features, compiled kernels, tuning table. It has no private members, so that the device of a tensor,
 * which the core knows by its interface only, is this type, too.
 */
export class Device implements RecordingDevice {
  readonly info: DeviceInfo;
  readonly features: ReadonlySet<string>;
  readonly pipelines: PipelineSource = new PipelineCache(this);
  readonly staging: StagingBuffers = new StagingPool(this);
  readonly tuning: TuningChoices<TuningRequest> = new TuningTable();
  readonly arithmetic: GradientArithmetic = { add, full };
  readonly sequence = { next: 0 };
  readonly checksFinite: boolean;
  readonly reproducible: boolean;
  /** Set in canary mode. */
  readonly canaries: CanaryKeeper | undefined;
  readonly counters: DeviceCounters = { buffers: 0, bytes: 0, heldBytes: 0, submits: 0 };
  readonly health: DeviceHealth;
  readonly buffers: BufferBook;
  readonly ownsGpu: boolean;
  readonly subgroupSize: number | undefined;
  readonly subgroupRange: readonly [number, number] | undefined;
  readonly matrices: SubgroupMatrices;
  readonly waits = platform.waits();
  readonly warmUp: KernelWarmUp | undefined;
  readonly notice: (line: string) => void;

  /** @param openSecond - opens another device of the same driver, where that can compile kernels for this one */
  constructor(
    readonly gpu: GPUDevice,
    options: DeviceOptions,
    adapter?: GPUAdapter,
    openSecond?: () => Promise<GPUDevice | undefined>,
  ) {
    this.warmUp = openSecond && new WarmUp(openSecond, this.waits);
    this.ownsGpu = options.device === undefined;
    this.notice = options.notice ?? ((line) => console.error(line));
    this.checksFinite = options.checkFinite ?? false;
    this.reproducible = options.reproducible ?? false;
    this.canaries = options.canaries ? new Canaries(this) : undefined;
    this.features = new Set(this.reproducible ? [...gpu.features].filter(isReproducible) : gpu.features);
    this.info = describeAdapter(gpu, adapter);
    this.subgroupSize = subgroupSizeOf(gpu, adapter);
    this.subgroupRange = subgroupRangeOf(gpu, adapter);
    this.matrices = this.reproducible ? { shapes: [], subgroupSize: undefined } : matricesOf(gpu, adapter);
    this.health = new ReportedHealth(gpu, this.info.name);
    this.buffers = new CountedBuffers(gpu, this.counters, this.health);
  }

  get limits(): GPUSupportedLimits {
    return this.gpu.limits;
  }

  get isSoftware(): boolean {
    return this.info.type === "software";
  }

  tensor(data: NestedNumbers, given?: Shape, dtype: DType = "f32", name = "tensor"): Tensor {
    const flat = flattened(data, name);
    const shape = given ?? flat.shape;
    const values = hostArray(dtype, flat.values, name);
    if (values.length !== sizeOf(shape)) {
      throw new ShapeError(
        `${name}: ${values.length} values do not fill the shape ${showShape(shape)} of ${sizeOf(shape)} elements`,
      );
    }
    const tensor = this.zeros(shape, dtype, name);
    this.write(tensor, values);
    return tensor;
  }

  zeros(shape: Shape, dtype: DType = "f32", name = "state"): Tensor {
    const bytes = bytesPerElement[dtype] * sizeOf(shape);
    return new Tensor(this, shape, dtype, new StateStorage(this, `${name} ${showShape(shape)}`, bytes));
  }

  write(tensor: Tensor, data: ArrayLike<number>): void {
    this.throwIfLost();
    const values = hostArray(tensor.dtype, data, "write");
    const storage = stateOf(tensor);
    if (!storage) throw new ValidationError("write: the tensor is not state; declare it as an input of its program");
    if (values.length !== tensor.size)
      throw new ShapeError(`write: ${values.length} values for the shape ${showShape(tensor.shape)}`);
    storage.overwritten = this.sequence.next++;
    if (this.checksFinite) checkFinite(storage.name, tensor, values);
    const range = { buffer: storage.buffer, offset: tensor.byteOffset, size: tensor.sizeBytes };
    writeBuffer(this.gpu, range, this.reproducible ? allOnGrid(values) : values);
  }

  read(tensor: Tensor): Promise<HostArray> {
    return readTensor(tensor);
  }

  program(options?: ProgramOptions): Program {
    return new Program(this, options);
  }

  requireFeature(operation: string, feature: string): void {
    if (!this.features.has(feature)) {
      throw new MissingFeatureError(
        this.reproducible && !isReproducible(feature)
          ? `${operation}: needs the feature ${feature}, which the reproducible mode does not admit; use f32`
          : `${operation}: needs the feature ${feature}, which ${this.info.name} lacks; use f32 or another adapter`,
      );
    }
  }

  createBuffer(label: string, sizeBytes: number, usage: number): GPUBuffer {
    if (sizeBytes > this.limits.maxBufferSize) {
      throw new OverLimitError(
        `${label}: ${sizeBytes} bytes exceed maxBufferSize ${this.limits.maxBufferSize}; use a smaller batch or model`,
      );
    }
    this.throwIfLost();
    return this.buffers.create(label, sizeBytes, usage);
  }

  destroyBuffer(buffer: GPUBuffer): void {
    this.buffers.destroy(buffer);
  }

  async guarded<T>(what: string, create: () => T): Promise<T> {
    this.gpu.pushErrorScope("validation");
    const value = create();
    const error = await this.gpu.popErrorScope().catch((cause: unknown) => {
      throw this.health.describe(cause);
    });
    if (error) throw new ValidationError(`${what}: ${error.message}`);
    this.throwIfLost();
    return value;
  }

  submit(commands: GPUCommandBuffer): void {
    this.counters.submits++;
    this.gpu.queue.submit([commands]);
  }

  async idle(): Promise<void> {
    await this.waits.during(this.gpu.queue.onSubmittedWorkDone());
    await this.warmUp?.idle();
    this.throwIfLost();
  }

  throwIfLost(): void {
    this.health.throwIfLost();
  }

  close(): void {
    if (this.ownsGpu) this.gpu.destroy();
    this.health.lose("closed");
  }
}

/** Half precision and the products of subgroup matrices are what adapters make of them. */
function isReproducible(feature: string): boolean {
  return feature !== "shader-f16" && feature !== "chromium-experimental-subgroup-matrix";
}
