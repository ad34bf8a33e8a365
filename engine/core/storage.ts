import type { BufferOwner } from "./device_parts.ts";
import { OverLimitError } from "./errors.ts";

/** Offsets of bindings are multiples of this (the largest value WebGPU allows for `minStorageBufferOffsetAlignment`). */
export const bindingAlignment = 256;

/** Bytes of canary words after every tensor, in canary mode. */
export const guardBytes = 256;

export function alignUp(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** Name of the state that holds index flags: a dispatch that writes nothing else of use is dead. */
export const indexFlagsName = "index flags";

/** Memory that outlives programs; its buffer is created when it is first needed, so plans can be made without allocating. */
export class StateStorage {
  readonly kind = "state";
  /** When the host or a run last overwrote it, on the device's count of what was recorded. */
  overwritten = -1;
  /** For a value that was read from an eager recording: when, and from which state it was computed. */
  computed: { readonly order: number; readonly from: ReadonlySet<StateStorage> } | undefined;
  #buffer: GPUBuffer | undefined;

  constructor(
    readonly device: BufferOwner,
    readonly name: string,
    readonly sizeBytes: number,
  ) {
    const limit = Math.min(device.limits.maxBufferSize, Number.MAX_SAFE_INTEGER);
    if (sizeBytes > limit) {
      throw new OverLimitError(
        `${name}: ${sizeBytes} bytes exceed maxBufferSize ${limit}; split the tensor or use f16`,
      );
    }
  }

  /** True once the buffer exists on the device. */
  get allocated(): boolean {
    return this.#buffer !== undefined;
  }

  /** The buffer, created (zeroed, as WebGPU does) on first use. */
  get buffer(): GPUBuffer {
    this.#buffer ??= this.#create();
    return this.#buffer;
  }

  #create(): GPUBuffer {
    const { canaries } = this.device;
    const size = alignUp(this.sizeBytes, 4);
    const usage = GPUBufferUsageFlags.STORAGE | GPUBufferUsageFlags.COPY_SRC | GPUBufferUsageFlags.COPY_DST;
    const buffer = this.device.createBuffer(this.name, size + (canaries ? guardBytes : 0), usage);
    canaries?.fill({ buffer, offset: size, size: guardBytes });
    return buffer;
  }

  /** Frees the memory; a later use starts from zeros again. */
  destroy(): void {
    if (this.#buffer) this.device.destroyBuffer(this.#buffer);
    this.#buffer = undefined;
  }
}

/** The usage bits of the WebGPU specification (§ GPUBufferUsage): Node has no such global and the library installs none. */
export const GPUBufferUsageFlags = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  INDIRECT: 0x100,
  QUERY_RESOLVE: 0x200,
} as const;
