import { OptionError } from "../core/errors.ts";
import type { Device } from "../core/recording.ts";
import { GPUBufferUsageFlags } from "../core/storage.ts";
import type { Plan } from "../plan/planner.ts";

/**
 * Arenas that several programs use in turn: as large as the largest of them needs, not as all together. The outputs of a program
 * last until another one of the same workspace runs; what is to outlive that is assigned to state.
 */
export class Workspace {
  readonly #members: { readonly plan: Plan }[] = [];
  readonly #buffers: GPUBuffer[] = [];
  #users = 0;
  /** What ran last: whose values the arenas hold. */
  #present: object | undefined;

  constructor(readonly device: Device) {}

  /** Adds a program. @throws OptionError once the memory was taken: its size is decided by then */
  join(member: { readonly plan: Plan }): void {
    if (this.#buffers.length > 0)
      throw new OptionError("workspace: its memory was taken already; record all its programs before one of them runs");
    this.#members.push(member);
  }

  /** Sizes of the arenas, largest first, in bytes. */
  get arenaBytes(): number[] {
    const sizes: number[] = [];
    for (const { plan } of this.#members) {
      bySize(plan).forEach(({ bytes }, rank) => {
        sizes[rank] = Math.max(sizes[rank] ?? 0, bytes);
      });
    }
    return sizes;
  }

  /** All arenas together. */
  get sizeBytes(): number {
    return this.arenaBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The buffers for a plan's arenas, in its order; each call is to be answered by one of {@link release}. */
  take(plan: Plan): GPUBuffer[] {
    const usage = GPUBufferUsageFlags.STORAGE | GPUBufferUsageFlags.COPY_SRC | GPUBufferUsageFlags.COPY_DST;
    if (this.#buffers.length === 0)
      for (const [i, bytes] of this.arenaBytes.entries())
        this.#buffers.push(this.device.createBuffer(`workspace arena ${i}`, bytes, usage));
    this.#users++;
    const taken: GPUBuffer[] = [];
    bySize(plan).forEach(({ arena }, rank) => {
      const buffer = this.#buffers[rank];
      if (buffer) taken[arena] = buffer;
    });
    return taken;
  }

  /** Frees the memory once nobody uses it any more. */
  release(): void {
    this.#users--;
    if (this.#users === 0) for (const buffer of this.#buffers.splice(0)) this.device.destroyBuffer(buffer);
  }

  /** Notes whose values the arenas hold from now on. */
  enter(runner: object): void {
    this.#present = runner;
  }

  holdsValuesOf(runner: object): boolean {
    return this.#present === runner;
  }
}

/** The arenas of a plan, largest first, so that those of several plans meet their like. */
function bySize({ arenaBytes }: Plan): { readonly arena: number; readonly bytes: number }[] {
  return arenaBytes.map((bytes, arena) => ({ arena, bytes })).sort((a, b) => b.bytes - a.bytes || a.arena - b.arena);
}
