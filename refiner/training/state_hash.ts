import { bytesOf, type HostTensor } from "../../engine/files/index.ts";
import {
  Arena,
  type Device,
  hostTensorHash,
  type RecordedProgram,
  recordProgram,
  type Tensor,
  tensorHashes,
} from "../../engine/index.ts";
import { valueChecksum } from "./lane_checksum.ts";
import { HostArena } from "./offload/host_arena.ts";
import type { RunState } from "./run_state.ts";

/**
 * Hash of a run's state: values only, whatever their layout and wherever they lie. It finds flipped bits, not forgery: each tensor
 * has 64 bits, by which one changed word never passes and more of them by a chance of 2^-64; all together have 160.
 */
export class StateHash {
  /** Of all tensors and their names, in hexadecimal digits. */
  readonly whole: string;

  /** @param tensors - 16 hexadecimal digits by name, in any order */
  constructor(readonly tensors: ReadonlyMap<string, string>) {
    this.whole = valueChecksum(sorted(tensors));
  }

  /** Of the tensors, in the order of {@link tags}. */
  get names(): string[] {
    return sorted(this.tensors).map(([name]) => name);
  }

  /** The last four digits of each tensor, in the order of the names: too few to be sure of, enough to name what differs. */
  get tags(): string {
    return sorted(this.tensors)
      .map(([, hash]) => hash.slice(-4))
      .join("");
  }

  /** Names of the tensors that another state has otherwise, or does not have. */
  differing(other: StateHash): string[] {
    const names = new Set([...this.tensors.keys(), ...other.tensors.keys()]);
    return [...names].filter((name) => this.tensors.get(name) !== other.tensors.get(name)).sort();
  }

  /** Names of the tensors whose tags are others. */
  differingTags(tags: string): string[] {
    return differingTags(this.names, this.tags, tags);
  }
}

/** Names of the tensors whose tags are not the same in two states. */
export function differingTags(names: readonly string[], tags: string, others: string): string[] {
  return names.filter((_, i) => tags.slice(4 * i, 4 * i + 4) !== others.slice(4 * i, 4 * i + 4));
}

function sorted(tensors: ReadonlyMap<string, string>): [string, string][] {
  return [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The hash of tensors that were read to the host, by name. */
export function hashOfTensors(tensors: ReadonlyMap<string, HostTensor>): StateHash {
  return new StateHash(new Map([...tensors].map(([name, tensor]) => [name, hashOfBytes(bytesOf(tensor))])));
}

function hashOfBytes(bytes: Uint8Array): string {
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  new Uint8Array(words.buffer).set(bytes);
  return digits(hostTensorHash(words));
}

function digits(words: readonly number[]): string {
  return words.map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** A hash on its way from the device. */
export type ComingHash = () => Promise<StateHash>;

/** Hashes the state of a run, again and again, on the device: one submit with a launch per chunk and single tensor. */
export class StateHasher {
  readonly #host: readonly (readonly [string, HostArena])[];
  /** Names of what the program hashes, in its order. */
  readonly #names: readonly string[];
  readonly #program: RecordedProgram<{ hashes: Tensor }> | undefined;

  constructor(device: Device, state: RunState) {
    const arenas = Object.entries(state.arenas);
    this.#host = arenas.flatMap(([prefix, arena]) => (arena instanceof HostArena ? [[prefix, arena] as const] : []));
    const resident = arenas.flatMap(([prefix, arena]) => (arena instanceof Arena ? [[prefix, arena] as const] : []));
    const single = Object.entries({ ...state.tensors, ...state.lossScale });
    this.#names = [
      ...resident.flatMap(([prefix, { entries }]) => entries.map(({ name }) => `${prefix}${name}`)),
      ...single.map(([name]) => name),
    ];
    if (this.#names.length === 0) return;
    const record = (program: Parameters<typeof tensorHashes>[0]) => ({
      hashes: tensorHashes(
        program,
        resident.map(([, arena]) => arena),
        single.map(([, tensor]) => tensor),
      ),
    });
    this.#program = recordProgram(device, record, { name: "state hash" });
  }

  /** Kernel launches of one hash. */
  get dispatches(): number {
    return this.#program?.stats.dispatches ?? 0;
  }

  /** Takes the hash of the state as the updates that were submitted leave it; state on the host is read at once. */
  async take(): Promise<ComingHash> {
    const onHost = new Map<string, string>();
    for (const [prefix, arena] of this.#host) {
      await arena.settled();
      for (const { name } of arena.entries) {
        const { buffer, byteOffset, length } = arena.get(name);
        onHost.set(`${prefix}${name}`, digits(hostTensorHash(new Uint32Array(buffer, byteOffset, length))));
      }
    }
    const readback = await this.#program?.run({}, ["hashes"]);
    return async () => {
      const hashes = (await readback?.read())?.hashes ?? new Uint32Array();
      const resident = this.#names.map((name, i): [string, string] => [
        name,
        digits([Number(hashes[2 * i]), Number(hashes[2 * i + 1])]),
      ]);
      return new StateHash(new Map([...resident, ...onHost]));
    };
  }

  /** Frees the program and its tables. */
  destroy(): void {
    this.#program?.destroy();
  }
}
