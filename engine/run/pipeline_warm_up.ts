import type { KernelWarmUp, Pipeline, Waits } from "../core/device_parts.ts";
import { GPUBufferUsageFlags } from "../core/storage.ts";
import { bindGroupLayoutOf } from "./pipelines.ts";

/** Fewer kernels are compiled before a second device has opened. */
const leastKernels = 16;
/** A first run that ends sooner found its kernels in the driver's cache. */
const patienceMs = 500;
/** More than any kernel demands of a binding. */
const bindingBytes = 65_536;

/**
 * Helps a driver that compiles kernels when they are first launched, one after the other. While the first run of a program is at
 * its first kernels, a second device of the same driver launches the others, the last one first, with no workgroups; the first
 * device then finds them in the driver's cache. Whatever fails on the second device ends the help and nothing else.
 */
export class WarmUp implements KernelWarmUp {
  readonly #launched = new WeakSet<GPUComputePipeline>();
  #helping: Promise<unknown> = Promise.resolve();

  /** @param open - opens a second device with the features of the first */
  constructor(
    private readonly open: () => Promise<GPUDevice | undefined>,
    private readonly waits: Waits,
  ) {}

  /**
   * @param pipelines - in the order of their launches
   * @param firstRun - settles when the first run is over
   * @returns how many kernels were launched
   */
  during(pipelines: readonly Pipeline[], firstRun: Promise<unknown>): Promise<number> {
    const others = [...new Set(pipelines)].filter(({ pipeline }) => !this.#launched.has(pipeline)).reverse();
    for (const { pipeline } of others) this.#launched.add(pipeline);
    if (others.length < leastKernels) return Promise.resolve(0);
    const help = this.#help(others, firstRun);
    this.#helping = Promise.all([this.#helping, help]);
    return help;
  }

  /** Resolves when no help is under way: a process that ends while the driver compiles may crash. */
  async idle(): Promise<void> {
    await this.#helping;
  }

  async #help(pipelines: readonly Pipeline[], firstRun: Promise<unknown>): Promise<number> {
    const run = { isOver: false };
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, patienceMs);
      const end = (): void => {
        run.isOver = true;
        clearTimeout(timer);
        resolve();
      };
      firstRun.then(end, end);
    });
    return run.isOver ? 0 : this.#launchAll(pipelines, run);
  }

  async #launchAll(pipelines: readonly Pipeline[], run: { readonly isOver: boolean }): Promise<number> {
    const gpu = await this.open().catch(() => undefined);
    if (!gpu) return 0;
    gpu.addEventListener("uncapturederror", (event) => event.preventDefault());
    let launched = 0;
    try {
      const buffers = new Buffers(gpu);
      for (const pipeline of pipelines) {
        if (run.isOver) break;
        await this.#launch(gpu, pipeline, buffers);
        launched++;
      }
    } catch {
      return launched; // such as a lost device: the first one compiles by itself
    } finally {
      gpu.destroy();
    }
    return launched;
  }

  async #launch(gpu: GPUDevice, { recipe }: Pipeline, buffers: Buffers): Promise<void> {
    const { kernel, text, constants } = recipe;
    const layout = bindGroupLayoutOf(gpu, kernel);
    const pipeline = await this.waits.during(
      gpu.createComputePipelineAsync({
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: {
          module: gpu.createShaderModule({ code: text }),
          entryPoint: kernel.name,
          constants: { ...constants },
        },
      }),
    );
    const entries = kernel.bindings.map(({ binding, access }) => ({
      binding,
      resource: { buffer: access === "write" ? buffers.written(binding) : buffers.read },
    }));
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, gpu.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroupsIndirect(buffers.noWorkgroups, 0);
    pass.end();
    gpu.queue.submit([encoder.finish()]);
    await this.waits.during(gpu.queue.onSubmittedWorkDone());
  }
}

/** Zeros for all bindings; what is written must not be bound twice. */
class Buffers {
  readonly read: GPUBuffer;
  readonly noWorkgroups: GPUBuffer;
  readonly #written = new Map<number, GPUBuffer>();

  constructor(private readonly gpu: GPUDevice) {
    const { STORAGE, UNIFORM, INDIRECT } = GPUBufferUsageFlags;
    this.read = gpu.createBuffer({ size: bindingBytes, usage: STORAGE | UNIFORM });
    this.noWorkgroups = gpu.createBuffer({ size: 12, usage: INDIRECT });
  }

  written(binding: number): GPUBuffer {
    let buffer = this.#written.get(binding);
    if (!buffer) {
      buffer = this.gpu.createBuffer({ size: bindingBytes, usage: GPUBufferUsageFlags.STORAGE });
      this.#written.set(binding, buffer);
    }
    return buffer;
  }
}
