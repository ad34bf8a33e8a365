import type { Device } from "../core/recording.ts";
import { GPUBufferUsageFlags } from "../core/storage.ts";

const chunkBytes = 2 ** 28;

/**
 * Takes device memory in chunks until there is enough or no more, and gives it back: as near as WebGPU comes to telling how much
 * there is. Systems that lend memory before it is used may grant more than they have.
 *
 * @returns bytes that were granted, at most `bytes`
 */
export async function trialAllocation(device: Device, bytes: number): Promise<number> {
  const { gpu } = device;
  const size = Math.min(chunkBytes, device.limits.maxBufferSize);
  const taken: GPUBuffer[] = [];
  let granted = 0;
  try {
    while (granted < bytes) {
      gpu.pushErrorScope("out-of-memory");
      const length = Math.min(size, 4 * Math.ceil((bytes - granted) / 4));
      taken.push(gpu.createBuffer({ label: "trial allocation", size: length, usage: GPUBufferUsageFlags.STORAGE }));
      if (await gpu.popErrorScope()) break;
      granted += length;
    }
  } finally {
    for (const buffer of taken) buffer.destroy();
  }
  return Math.min(granted, bytes);
}
