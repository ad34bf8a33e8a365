import { ValidationError } from "../core/errors.ts";
import { InterpretedBuffer, interpreted } from "./buffers.ts";
import {
  InterpretedCommands,
  InterpretedEncoder,
  InterpretedGroup,
  InterpretedLayout,
  InterpretedModule,
  InterpretedPipeline,
  InterpretedPipelineLayout,
  missing,
} from "./commands.ts";
import { compileKernel } from "./compile_kernel.ts";

/** The limits that WebGPU guarantees (§ "Limits"), so that programs are recorded as on a device of default limits. */
const limits: GPUSupportedLimits = {
  __brand: "GPUSupportedLimits",
  maxTextureDimension1D: 8192,
  maxTextureDimension2D: 8192,
  maxTextureDimension3D: 2048,
  maxTextureArrayLayers: 256,
  maxBindGroups: 4,
  maxBindGroupsPlusVertexBuffers: 24,
  maxBindingsPerBindGroup: 1000,
  maxDynamicUniformBuffersPerPipelineLayout: 8,
  maxDynamicStorageBuffersPerPipelineLayout: 4,
  maxSampledTexturesPerShaderStage: 16,
  maxSamplersPerShaderStage: 16,
  maxStorageBuffersPerShaderStage: 8,
  maxStorageTexturesPerShaderStage: 4,
  maxUniformBuffersPerShaderStage: 12,
  maxUniformBufferBindingSize: 65536,
  maxStorageBufferBindingSize: 134217728,
  minUniformBufferOffsetAlignment: 256,
  minStorageBufferOffsetAlignment: 256,
  maxVertexBuffers: 8,
  maxBufferSize: 268435456,
  maxVertexAttributes: 16,
  maxVertexBufferArrayStride: 2048,
  maxInterStageShaderVariables: 16,
  maxColorAttachments: 8,
  maxColorAttachmentBytesPerSample: 32,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256,
  maxComputeWorkgroupSizeZ: 64,
  maxComputeWorkgroupsPerDimension: 65535,
  maxImmediateSize: 0,
};

/**
 * A device that is no GPU: kernels run as JavaScript on the CPU, one operation after the other, in f32 as WGSL states it. Slow; what
 * it is for is to say what the right bytes are. Errors are thrown where they are made, and not kept for scopes.
 */
export class InterpretedGpu extends EventTarget implements GPUDevice {
  readonly __brand = "GPUDevice";
  readonly features: GPUSupportedFeatures = new Set<string>();
  readonly limits = limits;
  readonly adapterInfo: GPUAdapterInfo = {
    __brand: "GPUAdapterInfo",
    vendor: "mimrefine",
    architecture: "interpreter",
    device: "",
    description: "interpreter",
    isFallbackAdapter: true,
  };
  label = "interpreter";
  onuncapturederror = null;
  readonly queue: GPUQueue = new InterpretedQueue();
  readonly lost: Promise<GPUDeviceLostInfo>;
  #lose: (info: GPUDeviceLostInfo) => void = () => undefined;
  readonly createTexture = missing("textures");
  readonly createSampler = missing("samplers");
  readonly importExternalTexture = missing("textures");
  readonly createRenderPipeline = missing("render pipelines");
  readonly createRenderPipelineAsync = missing("render pipelines");
  readonly createRenderBundleEncoder = missing("render bundles");
  readonly createQuerySet = missing("timestamps");

  constructor() {
    super();
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
  }

  destroy(): undefined {
    this.#lose({ __brand: "GPUDeviceLostInfo", reason: "destroyed", message: "destroyed" });
  }

  createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    return new InterpretedBuffer(descriptor);
  }

  createBindGroupLayout(): GPUBindGroupLayout {
    return new InterpretedLayout();
  }

  createPipelineLayout(): GPUPipelineLayout {
    return new InterpretedPipelineLayout();
  }

  createBindGroup(descriptor: GPUBindGroupDescriptor): GPUBindGroup {
    return new InterpretedGroup(descriptor);
  }

  createShaderModule({ code }: GPUShaderModuleDescriptor): GPUShaderModule {
    return new InterpretedModule(code);
  }

  createComputePipeline({ compute }: GPUComputePipelineDescriptor): GPUComputePipeline {
    const { module, entryPoint = "main", constants = {} } = compute;
    if (!(module instanceof InterpretedModule)) throw new ValidationError("interpreter: a shader of another device");
    return new InterpretedPipeline(compileKernel(module.code, entryPoint, constants));
  }

  async createComputePipelineAsync(descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    return this.createComputePipeline(descriptor);
  }

  createCommandEncoder(): GPUCommandEncoder {
    return new InterpretedEncoder();
  }

  pushErrorScope(): undefined {}

  async popErrorScope(): Promise<null> {
    return null;
  }
}

class InterpretedQueue implements GPUQueue {
  readonly __brand = "GPUQueue";
  label = "";
  readonly writeTexture = missing("textures");
  readonly copyExternalImageToTexture = missing("textures");

  submit(commands: Iterable<GPUCommandBuffer>): undefined {
    for (const buffer of commands) if (buffer instanceof InterpretedCommands) for (const run of buffer.run) run();
  }

  async onSubmittedWorkDone(): Promise<undefined> {}

  writeBuffer(
    buffer: GPUBuffer,
    offset: number,
    data: GPUAllowSharedBufferSource,
    dataOffset = 0,
    size?: number,
  ): undefined {
    const isView = ArrayBuffer.isView(data);
    const unit = isView && "BYTES_PER_ELEMENT" in data ? Number(data.BYTES_PER_ELEMENT) : 1;
    const whole = isView ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
    const from = dataOffset * unit;
    const bytes = whole.subarray(from, size === undefined ? undefined : from + size * unit);
    const { bytes: target } = interpreted(buffer);
    if (offset + bytes.length > target.length)
      throw new ValidationError(`interpreter: ${bytes.length} bytes do not fit ${buffer.label} from byte ${offset}`);
    target.set(bytes, offset);
  }
}
