import type { BufferRange, CanaryKeeper, Guard } from "../core/device_parts.ts";
import { OutOfBoundsError } from "../core/errors.ts";
import type { Device } from "../core/recording.ts";
import { GPUBufferUsageFlags } from "../core/storage.ts";

/** A quiet NaN: a kernel that reads it and uses it gives a wrong result, too. */
const canary = 0x7fc0dead;
const mapModeRead = 0x1; // GPUMapMode.READ

/**
 * A test mode: canary words stand behind every tensor, kernels may reach them, and every read-back checks that nobody wrote
 * there. Kernels run without the driver's index clamping, so this is how their bounds are proved.
 */
export class Canaries implements CanaryKeeper {
  readonly #pending: { readonly copy: GPUBuffer; readonly guards: readonly Guard[] }[] = [];

  constructor(readonly device: Device) {}

  /** Fills a range with canary words. */
  fill({ buffer, offset, size }: BufferRange): void {
    this.device.gpu.queue.writeBuffer(buffer, offset, new Uint32Array(size / 4).fill(canary));
  }

  /** Takes a copy of the guards as they are once the work submitted so far is done. */
  record(guards: readonly Guard[]): void {
    const size = guards.reduce((sum, guard) => sum + guard.size, 0);
    if (size === 0) return;
    const copy = this.device.gpu.createBuffer({
      label: "canaries",
      size,
      usage: GPUBufferUsageFlags.MAP_READ | GPUBufferUsageFlags.COPY_DST,
    });
    const encoder = this.device.gpu.createCommandEncoder({ label: "canaries" });
    let to = 0;
    for (const guard of guards) {
      encoder.copyBufferToBuffer(guard.buffer, guard.offset, copy, to, guard.size);
      to += guard.size;
    }
    this.device.gpu.queue.submit([encoder.finish()]);
    this.#pending.push({ copy, guards });
  }

  /** @throws OutOfBoundsError if a canary changed since the last check */
  async check(): Promise<void> {
    for (const { copy, guards } of this.#pending.splice(0)) {
      await copy.mapAsync(mapModeRead);
      const words = new Uint32Array(copy.getMappedRange().slice(0));
      copy.destroy();
      let from = 0;
      for (const { owner, size } of guards) {
        const at = words.subarray(from, from + size / 4).findIndex((word) => word !== canary);
        if (at >= 0)
          throw new OutOfBoundsError(`${owner}: a kernel wrote ${4 * at} bytes behind it; correct the kernel's bounds`);
        from += size / 4;
      }
    }
  }
}
