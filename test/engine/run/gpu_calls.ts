import type { Device } from "../../../engine/index.ts";

const creators = [
  "createBuffer",
  "createBindGroup",
  "createBindGroupLayout",
  "createPipelineLayout",
  "createShaderModule",
  "createComputePipeline",
  "createComputePipelineAsync",
  "createQuerySet",
] as const;

/** Counts what is created on the real GPUDevice and submitted to its queue, from now on. */
export function countGpuCalls(device: Device): Record<string, number> {
  const counts: Record<string, number> = {};
  const wrap = (owner: object, name: string): void => {
    const original: unknown = Reflect.get(owner, name);
    if (typeof original !== "function") throw new Error(`the device has no method ${name}`);
    counts[name] = 0;
    Object.defineProperty(owner, name, {
      configurable: true,
      value: (...args: unknown[]) => {
        counts[name] = (counts[name] ?? 0) + 1;
        return Reflect.apply(original, owner, args);
      },
    });
  };
  for (const name of creators) wrap(device.gpu, name);
  wrap(device.gpu.queue, "submit");
  return counts;
}
