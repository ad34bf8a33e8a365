import type { Pipeline, PipelineSource } from "../core/device_parts.ts";
import { MissingFeatureError, ValidationError } from "../core/errors.ts";
import { type Declarations, type Kernel, requiredFeatures, shaderText } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import { canonicalText } from "./canonical_text.ts";

const shaderStageCompute = 0x4; // GPUShaderStage.COMPUTE

export function bindGroupLayoutOf(gpu: GPUDevice, kernel: Kernel): GPUBindGroupLayout {
  return gpu.createBindGroupLayout({
    label: kernel.name,
    entries: kernel.bindings.map(({ binding, access }) => ({
      binding,
      visibility: shaderStageCompute,
      buffer: { type: access === "uniform" ? "uniform" : access === "read" ? "read-only-storage" : "storage" },
    })),
  });
}

/** Compiles kernels once per device, in parallel, and keeps the results. */
export class PipelineCache implements PipelineSource {
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  /** By the text that a kernel has otherwise. */
  readonly #reproducible = new Map<string, string>();
  readonly #modules = new Map<string, GPUShaderModule>();

  constructor(readonly device: Device) {}

  get(
    kernel: Kernel,
    constants: Readonly<Record<string, number>> = {},
    declarations: Declarations = {},
  ): Promise<Pipeline> {
    const text = this.#text(kernel, declarations);
    const key = `${kernel.name}\u0000${JSON.stringify(Object.entries(constants).sort())}\u0000${text}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#compile(kernel, text, constants, declarations);
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  #text(kernel: Kernel, declarations: Declarations): string {
    const text = shaderText(kernel, declarations);
    if (!this.device.reproducible) return text;
    const known = this.#reproducible.get(text) ?? canonicalText(kernel, text);
    this.#reproducible.set(text, known);
    return known;
  }

  async #compile(
    kernel: Kernel,
    text: string,
    constants: Readonly<Record<string, number>>,
    declarations: Declarations,
  ): Promise<Pipeline> {
    for (const feature of requiredFeatures(kernel, declarations)) {
      if (!this.device.features.has(feature)) {
        throw new MissingFeatureError(
          `${kernel.name}: needs the feature ${feature}, which ${this.device.info.name} lacks; choose another variant`,
        );
      }
    }
    const { gpu } = this.device;
    gpu.pushErrorScope("validation");
    const module = this.#module(kernel, text);
    const layout = bindGroupLayoutOf(gpu, kernel);
    const compiled = gpu.createComputePipelineAsync({
      label: kernel.name,
      layout: gpu.createPipelineLayout({ label: kernel.name, bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: kernel.name, constants: { ...constants } },
    });
    const scope = gpu.popErrorScope();
    try {
      const pipeline = await this.device.waits.during(compiled);
      const error = await scope;
      if (error) throw new ValidationError(error.message);
      return { pipeline, layout, recipe: { kernel, text, constants } };
    } catch (cause) {
      const error = await scope.catch(() => null);
      this.device.throwIfLost();
      throw await describeFailure(
        kernel,
        module,
        error?.message ?? (cause instanceof Error ? cause.message : String(cause)),
        cause,
      );
    }
  }

  #module(kernel: Kernel, text: string): GPUShaderModule {
    let module = this.#modules.get(text);
    if (!module) {
      module = this.device.gpu.createShaderModule({ label: kernel.name, code: text });
      this.#modules.set(text, module);
    }
    return module;
  }
}

async function describeFailure(
  kernel: Kernel,
  module: GPUShaderModule,
  reason: string,
  cause: unknown,
): Promise<ValidationError> {
  const { messages } = await module.getCompilationInfo();
  const lines = messages
    .filter((message) => message.type === "error")
    .map((message) => `line ${message.lineNum}:${message.linePos}: ${message.message}`);
  const detail = lines.length > 0 ? lines.join("; ") : reason;
  return new ValidationError(`kernel ${kernel.name} does not compile: ${detail}; correct the WGSL or its constants`, {
    cause,
  });
}
