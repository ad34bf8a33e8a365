import { platform } from "#platform";
import { bytesPerElement, type DType, hostArray } from "../core/dtype.ts";
import {
  DeviceLostError,
  type EngineError,
  MissingFeatureError,
  OptionError,
  OutOfMemoryError,
  OverLimitError,
  ShapeError,
  ValidationError,
} from "../core/errors.ts";
import { type Shape, showShape, sizeOf } from "../core/shape.ts";
import { StateStorage } from "../core/storage.ts";
import { stateOf, Tensor } from "../core/tensor.ts";
import type { PlannedCommand } from "../plan/planner.ts";
import { type AdapterType, adapterName, isSoftwareAdapter } from "../platform/platform.ts";
import { TuningTable } from "../tune/tuning_table.ts";
import { Canaries } from "./canaries.ts";
import { checkFinite, writeBuffer } from "./host_transfer.ts";
import { WarmUp } from "./pipeline_warm_up.ts";
import { PipelineCache } from "./pipelines.ts";
import { StagingPool } from "./readback_buffers.ts";

export interface DeviceOptions {
  /** `auto` (default), `hardware`, `software`, or a part of an adapter's name; `MIMREFINE_ADAPTER` gives the default. */
  readonly adapter?: string;
  /** A device that the caller owns; it is not destroyed by `close`. */
  readonly device?: GPUDevice;
  /** An adapter of the caller to request a device from. */
  readonly gpuAdapter?: GPUAdapter;
  /** Leave the index clamping of Dawn on (Node; other platforms always clamp). Default false. */
  readonly robust?: boolean;
  /** Put canary words behind every tensor and check them at every read-back: for tests of kernels. Default false. */
  readonly canaries?: boolean;
  /** Refuse uploads that hold NaN or infinities. Default false. */
  readonly checkFinite?: boolean;
  /** Receives the one-line notice of a software adapter; the default writes to the error console. */
  readonly notice?: (line: string) => void;
}

export interface DeviceInfo {
  readonly name: string;
  readonly type: AdapterType;
  readonly backend: string;
  readonly driver: string;
  readonly vendor: string;
  readonly architecture: string;
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

const wantedFeatures = ["shader-f16", "subgroups", "timestamp-query"] as const;

/**
 * Opens a WebGPU device with the adapter's own limits and the features that kernels can use.
 *
 * @throws NoAdapterError with three remedies, OptionError
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  if (options.device) return new Device(options.device, options, options.gpuAdapter);
  const robust = options.robust ?? false;
  const notice = options.notice ?? ((line: string) => console.error(line));
  const request = { adapter: options.adapter ?? platform.environmentAdapter ?? "auto", robust, notice };
  if (request.adapter === "")
    throw new OptionError("openDevice: adapter is empty, expected auto, hardware, software or a part of a name");
  if (options.gpuAdapter) return new Device(await requestDevice(options.gpuAdapter), options, options.gpuAdapter);
  const { adapter, again } = await platform.openAdapter(request);
  return new Device(await requestDevice(adapter), options, adapter, again);
}

function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  return adapter.requestDevice({
    label: "mimrefine",
    requiredFeatures: wantedFeatures.filter((feature) => adapter.features.has(feature)),
    requiredLimits: limitsOf(adapter),
  });
}

const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxUniformBufferBindingSize",
] as const;

function limitsOf(adapter: GPUAdapter): Record<string, number> {
  return Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]));
}

/** An open device: limits, features, compiled kernels, tuning table. */
export class Device {
  readonly info: DeviceInfo;
  readonly features: ReadonlySet<string>;
  readonly pipelines = new PipelineCache(this);
  readonly staging = new StagingPool(this);
  readonly tuning = new TuningTable();
  readonly checksFinite: boolean;
  /** Set in canary mode. */
  readonly canaries: Canaries | undefined;
  readonly counters: DeviceCounters = { buffers: 0, bytes: 0, heldBytes: 0, submits: 0 };
  /** Size of every subgroup where the adapter has just one size; undefined otherwise. */
  readonly subgroupSize: number | undefined;
  /** How promises of the device are awaited. */
  readonly waits = platform.waits();
  /** Where the driver compiles kernels at their first launch and a second device can help. */
  readonly warmUp: WarmUp | undefined;
  readonly #ownsDevice: boolean;
  readonly #held = new WeakSet<GPUBuffer>();
  #lost: string | undefined;
  #error: EngineError | undefined;

  constructor(
    readonly gpu: GPUDevice,
    options: DeviceOptions,
    adapter?: GPUAdapter,
    again?: () => Promise<GPUAdapter | undefined>,
  ) {
    this.warmUp =
      again &&
      new WarmUp(async () => {
        const other = await again();
        return other && requestDevice(other);
      }, this.waits);
    this.#ownsDevice = options.device === undefined;
    this.checksFinite = options.checkFinite ?? false;
    this.canaries = options.canaries ? new Canaries(this) : undefined;
    this.features = new Set(gpu.features);
    this.info = describeAdapter(gpu, adapter);
    const info = gpu.adapterInfo ?? adapter?.info;
    const sameSize = info?.subgroupMinSize !== undefined && info.subgroupMinSize === info.subgroupMaxSize;
    this.subgroupSize = sameSize && gpu.features.has("subgroups") ? info.subgroupMinSize : undefined;
    void gpu.lost.then(({ reason, message }) => {
      this.#lost = `${reason ?? "unknown"}${message ? `: ${message.split("\n")[0]}` : ""}`;
    });
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#error ??= describeGpuError(event.error);
    });
  }

  get limits(): GPUSupportedLimits {
    return this.gpu.limits;
  }

  /** True where a CPU does the work. */
  get isSoftware(): boolean {
    return this.info.type === "software";
  }

  /** State holding host values. @throws ShapeError, DTypeError, NonFiniteError (check mode), OverLimitError */
  tensor(data: ArrayLike<number>, shape: Shape = [data.length], dtype: DType = "f32", name = "tensor"): Tensor {
    const values = hostArray(dtype, data, name);
    if (values.length !== sizeOf(shape)) {
      throw new ShapeError(
        `${name}: ${values.length} values do not fill the shape ${showShape(shape)} of ${sizeOf(shape)} elements`,
      );
    }
    const tensor = this.zeros(shape, dtype, name);
    this.write(tensor, values);
    return tensor;
  }

  /** State of zeros; its memory is taken on first use. @throws OverLimitError */
  zeros(shape: Shape, dtype: DType = "f32", name = "state"): Tensor {
    const bytes = bytesPerElement[dtype] * sizeOf(shape);
    return new Tensor(this, shape, dtype, new StateStorage(this, `${name} ${showShape(shape)}`, bytes));
  }

  /** Overwrites state with host values. @throws ShapeError, DTypeError, ValidationError */
  write(tensor: Tensor, data: ArrayLike<number>): void {
    this.throwIfLost();
    const values = hostArray(tensor.dtype, data, "write");
    const storage = stateOf(tensor);
    if (!storage) throw new ValidationError("write: the tensor is not state; declare it as an input of its program");
    if (values.length !== tensor.size)
      throw new ShapeError(`write: ${values.length} values for the shape ${showShape(tensor.shape)}`);
    if (this.checksFinite) checkFinite(storage.name, tensor, values);
    writeBuffer(this.gpu, { buffer: storage.buffer, offset: tensor.byteOffset, size: tensor.sizeBytes }, values);
  }

  /** @throws MissingFeatureError */
  requireFeature(operation: string, feature: string): void {
    if (!this.features.has(feature)) {
      throw new MissingFeatureError(
        `${operation}: needs the feature ${feature}, which ${this.info.name} lacks; use f32 or another adapter`,
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
    this.gpu.pushErrorScope("out-of-memory");
    const buffer = this.gpu.createBuffer({ label, size: sizeBytes, usage });
    void this.gpu.popErrorScope().then(
      (error) => {
        if (error)
          this.#error ??= new OutOfMemoryError(
            `${label}: the device has no room for ${sizeBytes} bytes; use a smaller batch, micro-batch or model`,
          );
      },
      () => undefined,
    );
    this.counters.buffers++;
    this.counters.bytes += sizeBytes;
    this.counters.heldBytes += sizeBytes;
    this.#held.add(buffer);
    return buffer;
  }

  /** Frees a buffer that `createBuffer` made; doing so again changes nothing. */
  destroyBuffer(buffer: GPUBuffer): void {
    if (this.#held.delete(buffer)) this.counters.heldBytes -= buffer.size;
    buffer.destroy();
  }

  /** Runs creation code in a validation scope. @throws ValidationError, OutOfMemoryError */
  async guarded<T>(what: string, create: () => T): Promise<T> {
    this.gpu.pushErrorScope("validation");
    const value = create();
    const error = await this.gpu.popErrorScope().catch((cause: unknown) => {
      throw this.describe(cause);
    });
    if (error) throw new ValidationError(`${what}: ${error.message}`);
    this.throwIfLost();
    return value;
  }

  submit(commands: GPUCommandBuffer): void {
    this.counters.submits++;
    this.gpu.queue.submit([commands]);
  }

  /** Resolves when all submitted work is done. @throws DeviceLostError */
  async idle(): Promise<void> {
    await this.waits.during(this.gpu.queue.onSubmittedWorkDone());
    await this.warmUp?.idle();
    this.throwIfLost();
  }

  /** First commands of each submit: cut only where one submit could trip a GPU watchdog (> 500 ms). */
  submitCuts(commands: readonly PlannedCommand[]): number[] {
    if (this.isSoftware) return [0];
    const flopsPerSubmit = 2.5e11; // 500 ms on a GPU that sustains 0.5 TFLOP/s
    const cuts = [0];
    let flops = 0;
    commands.forEach(({ command }, index) => {
      flops += command.type === "dispatch" ? (command.options.flops ?? 0) : 0;
      if (flops > flopsPerSubmit && index > (cuts.at(-1) ?? 0)) {
        cuts.push(index);
        flops = command.type === "dispatch" ? (command.options.flops ?? 0) : 0;
      }
    });
    return cuts;
  }

  /** @throws DeviceLostError, or the first error that the device reported since the last call */
  throwIfLost(): void {
    if (this.#lost !== undefined) throw this.#lostError();
    const error = this.#error;
    this.#error = undefined;
    if (error) throw error;
  }

  /** A typed error for a failed wait. */
  describe(cause: unknown): Error {
    if (this.#lost !== undefined) return this.#lostError();
    const message = cause instanceof Error ? cause.message : String(cause);
    if (/lost|destroyed|abort/i.test(message)) return this.#lostError(message);
    return cause instanceof Error ? cause : new ValidationError(message);
  }

  #lostError(detail = this.#lost ?? ""): DeviceLostError {
    return new DeviceLostError(
      `the device ${this.info.name} was lost (${detail}); open a new device, record the program again and load the last saved state`,
    );
  }

  /** Destroys the device unless the caller owns it. Tensors of it are unusable afterwards. */
  close(): void {
    if (this.#ownsDevice) this.gpu.destroy();
    this.#lost ??= "closed";
  }
}

function describeAdapter(gpu: GPUDevice, adapter: GPUAdapter | undefined): DeviceInfo {
  const info = gpu.adapterInfo ?? adapter?.info;
  const isSoftware = adapter ? isSoftwareAdapter(adapter) : /llvmpipe|swiftshader/i.test(info?.description ?? "");
  const extra = info && "backend" in info ? String(info.backend) : undefined;
  const kind = info && "type" in info ? String(info.type) : "";
  const type: AdapterType = isSoftware
    ? "software"
    : /discrete/i.test(kind)
      ? "discrete"
      : /integrated/i.test(kind)
        ? "integrated"
        : "unknown";
  return {
    name: adapter ? adapterName(adapter) : info?.description || info?.device || "caller's device",
    type,
    backend: extra ?? "webgpu",
    driver: info && "driver" in info ? String(info.driver) : (info?.description ?? ""),
    vendor: info?.vendor ?? "",
    architecture: info?.architecture ?? "",
  };
}

function describeGpuError(error: GPUError): EngineError {
  return /memory/i.test(error.constructor.name)
    ? new OutOfMemoryError(`the device is out of memory: ${error.message}; use a smaller batch`)
    : new ValidationError(error.message);
}
