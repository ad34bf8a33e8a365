import type { BufferBook, DeviceCounters, DeviceHealth } from "../core/device_parts.ts";
import { OutOfMemoryError } from "../core/errors.ts";

/** Makes and frees the buffers of a device and counts them. */
export class CountedBuffers implements BufferBook {
  readonly #held = new WeakSet<GPUBuffer>();

  constructor(
    readonly gpu: GPUDevice,
    readonly counters: DeviceCounters,
    readonly health: DeviceHealth,
  ) {}

  create(label: string, sizeBytes: number, usage: number): GPUBuffer {
    this.gpu.pushErrorScope("out-of-memory");
    const buffer = this.gpu.createBuffer({ label, size: sizeBytes, usage });
    void this.gpu.popErrorScope().then(
      (error) => {
        if (error)
          this.health.report(
            new OutOfMemoryError(
              `${label}: the device has no room for ${sizeBytes} bytes; use a smaller batch, micro-batch or model`,
            ),
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

  destroy(buffer: GPUBuffer): void {
    if (this.#held.delete(buffer)) this.counters.heldBytes -= buffer.size;
    buffer.destroy();
  }
}
