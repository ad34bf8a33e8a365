import type { StagingBuffers } from "../core/device_parts.ts";
import type { Device } from "../core/recording.ts";
import { alignUp, GPUBufferUsageFlags } from "../core/storage.ts";

const mapModeRead = 0x1; // GPUMapMode.READ

/** Buffers that carry values to the host, kept for reuse. */
export class StagingPool implements StagingBuffers {
  readonly #free: GPUBuffer[] = [];
  static readonly #most = 16;

  constructor(readonly device: Device) {}

  /** A free buffer of at least `sizeBytes`. */
  take(sizeBytes: number): GPUBuffer {
    const index = this.#free.findIndex((buffer) => buffer.size >= sizeBytes && buffer.size <= 4 * sizeBytes + 4096);
    const [found] = index < 0 ? [] : this.#free.splice(index, 1);
    return (
      found ??
      this.device.createBuffer(
        "staging",
        alignUp(sizeBytes, 256),
        GPUBufferUsageFlags.MAP_READ | GPUBufferUsageFlags.COPY_DST,
      )
    );
  }

  /** Maps the buffer, copies its first bytes out and returns it to the pool. */
  async collect(buffer: GPUBuffer, sizeBytes: number): Promise<ArrayBuffer> {
    try {
      await this.device.waits.during(buffer.mapAsync(mapModeRead, 0, alignUp(sizeBytes, 8)));
    } catch (cause) {
      this.device.destroyBuffer(buffer);
      throw this.device.health.describe(cause);
    }
    const bytes = buffer.getMappedRange(0, alignUp(sizeBytes, 8)).slice(0, sizeBytes);
    buffer.unmap();
    this.release(buffer);
    await this.device.canaries?.check();
    return bytes;
  }

  /** Takes a buffer back; of too many, the one that lay unused longest goes. */
  release(buffer: GPUBuffer): void {
    this.#free.push(buffer);
    const oldest = this.#free.length > StagingPool.#most ? this.#free.shift() : undefined;
    if (oldest) this.device.destroyBuffer(oldest);
  }
}
