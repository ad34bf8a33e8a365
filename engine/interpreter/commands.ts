import { ValidationError } from "../core/errors.ts";
import { interpreted } from "./buffers.ts";
import type { InterpretedKernel, Memory } from "./compile_kernel.ts";

/** What the interpreter does not have: it computes, and draws nothing. */
export function missing(what: string): () => never {
  return () => {
    throw new ValidationError(`interpreter: it has no ${what}; it runs compute kernels and copies between buffers`);
  };
}

export class InterpretedLayout implements GPUBindGroupLayout {
  readonly __brand = "GPUBindGroupLayout";
  label = "";
}

export class InterpretedPipelineLayout implements GPUPipelineLayout {
  readonly __brand = "GPUPipelineLayout";
  label = "";
}

export class InterpretedModule implements GPUShaderModule {
  readonly __brand = "GPUShaderModule";
  label = "";
  constructor(readonly code: string) {}

  async getCompilationInfo(): Promise<GPUCompilationInfo> {
    return { __brand: "GPUCompilationInfo", messages: [] };
  }
}

export class InterpretedPipeline implements GPUComputePipeline {
  readonly __brand = "GPUComputePipeline";
  label = "";
  readonly getBindGroupLayout = missing("layouts made by itself");
  constructor(readonly kernel: InterpretedKernel) {}
}

/** Ranges of buffers by their binding. */
export class InterpretedGroup implements GPUBindGroup {
  readonly __brand = "GPUBindGroup";
  label = "";
  readonly bound = new Map<number, Memory>();

  constructor({ entries }: GPUBindGroupDescriptor) {
    for (const { binding, resource } of entries) {
      const isRange = "buffer" in resource;
      if (!isRange) throw new ValidationError(`interpreter: binding ${binding} is no range of a buffer; give one`);
      const { buffer, offset = 0, size = buffer.size - offset } = resource;
      if (offset + size > buffer.size)
        throw new ValidationError(`interpreter: binding ${binding} ends at byte ${offset + size} of ${buffer.size}`);
      this.bound.set(binding, interpreted(buffer).words(offset, size));
    }
  }
}

export class InterpretedCommands implements GPUCommandBuffer {
  readonly __brand = "GPUCommandBuffer";
  label = "";
  constructor(readonly run: readonly (() => void)[]) {}
}

/** Keeps what was recorded until it is submitted. */
export class InterpretedEncoder implements GPUCommandEncoder {
  readonly __brand = "GPUCommandEncoder";
  label = "";
  readonly #commands: (() => void)[] = [];
  readonly beginRenderPass = missing("render passes");
  readonly copyBufferToTexture = missing("textures");
  readonly copyTextureToBuffer = missing("textures");
  readonly copyTextureToTexture = missing("textures");
  readonly resolveQuerySet = missing("timestamps");
  readonly pushDebugGroup = missing("debug groups");
  readonly popDebugGroup = missing("debug groups");
  readonly insertDebugMarker = missing("debug groups");

  beginComputePass(): GPUComputePassEncoder {
    return new InterpretedPass(this.#commands);
  }

  copyBufferToBuffer(source: GPUBuffer, ...rest: readonly (GPUBuffer | number | undefined)[]): undefined {
    const [from = 0, target, to = 0, size] = typeof rest[0] === "number" ? rest : [0, rest[0], 0, rest[1]];
    if (typeof target !== "object" || typeof from !== "number" || typeof to !== "number")
      throw new ValidationError("interpreter: a copy goes from one buffer to another; give both");
    const length = typeof size === "number" ? size : source.size - from;
    const [{ bytes }, { bytes: goal }] = [interpreted(source), interpreted(target)];
    if (from + length > bytes.length || to + length > goal.length)
      throw new ValidationError(
        `interpreter: a copy of ${length} bytes is outside of ${source.label} or ${target.label}`,
      );
    this.#commands.push(() => goal.set(bytes.subarray(from, from + length), to));
  }

  clearBuffer(buffer: GPUBuffer, offset = 0, size = buffer.size - offset): undefined {
    const { bytes } = interpreted(buffer);
    this.#commands.push(() => bytes.fill(0, offset, offset + size));
  }

  finish(): GPUCommandBuffer {
    return new InterpretedCommands(this.#commands);
  }
}

class InterpretedPass implements GPUComputePassEncoder {
  readonly __brand = "GPUComputePassEncoder";
  label = "";
  #kernel: InterpretedKernel | undefined;
  #group: InterpretedGroup | undefined;
  readonly setImmediates = missing("immediate values");
  readonly dispatchWorkgroupsIndirect = missing("indirect launches");
  readonly pushDebugGroup = missing("debug groups");
  readonly popDebugGroup = missing("debug groups");
  readonly insertDebugMarker = missing("debug groups");

  constructor(readonly commands: (() => void)[]) {}

  setPipeline(pipeline: GPUComputePipeline): undefined {
    if (pipeline instanceof InterpretedPipeline) this.#kernel = pipeline.kernel;
  }

  setBindGroup(_index: number, group: GPUBindGroup | null | undefined): undefined {
    this.#group = group instanceof InterpretedGroup ? group : undefined;
  }

  dispatchWorkgroups(x: number, y = 1, z = 1): undefined {
    const [kernel, group] = [this.#kernel, this.#group];
    if (!kernel || !group)
      throw new ValidationError("interpreter: a launch needs a pipeline and a group of this device");
    this.commands.push(() => kernel.run(group.bound, [x, y, z]));
  }

  end(): undefined {
    this.#kernel = undefined;
  }
}
