import {
  type Checkpoint,
  CheckpointError,
  CorruptFileError,
  type HostTensor,
  openCheckpoint,
} from "../../engine/files/index.ts";
import type { Tensor } from "../../engine/index.ts";
import { checksumKeys, headerChecksum, tensorChecksum } from "./checkpoint_checksums.ts";
import { HostArena } from "./offload/host_arena.ts";
import type { StateArena } from "./offload/streamed_step.ts";
import type { RunState } from "./run_state.ts";
import type { RunStore } from "./run_store.ts";

/** A run checkpoint that is read again. All that it gives out was verified, if it has checksums. */
export class StoredCheckpoint {
  private constructor(
    readonly file: string,
    readonly checkpoint: Checkpoint,
    /** Checksums of the tensors by name; undefined in a file of a version that wrote none. */
    readonly checksums: ReadonlyMap<string, unknown> | undefined,
  ) {}

  /** @throws CheckpointError for a file that is damaged */
  static async open(store: RunStore, file: string): Promise<StoredCheckpoint> {
    const checkpoint = await openCheckpoint(await store.open(file));
    try {
      return new StoredCheckpoint(file, checkpoint, await verifiedChecksums(checkpoint, file));
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
  }

  /** A counter of the metadata. @throws CorruptFileError if it is no whole number from 0 on */
  counter(name: string): number {
    const text = this.checkpoint.metadata.get(name) ?? "";
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new CorruptFileError(`${this.file}: its counter ${name} is ${JSON.stringify(text)}, no whole number`);
  }

  /** Completed updates of all stages, by the name of the file. */
  get updates(): number {
    return Number.parseInt(this.file.slice(this.file.lastIndexOf("/") + 1), 10);
  }

  /**
   * Writes the values into the state, and verifies them meanwhile: after an error the state is to be restored from another file.
   *
   * @returns whether there was a loss scale to restore, if the state has one
   * @throws CorruptFileError for a damaged tensor; CheckpointError if one is missing or of another shape
   */
  async restore(state: RunState): Promise<{ readonly lossScaleIsMissing: boolean }> {
    const { tensors } = this.checkpoint;
    const scales = Object.entries(state.lossScale ?? {});
    const storedScales = scales.filter(([name]) => tensors.has(name));
    const single = [...Object.entries(state.tensors), ...storedScales];
    const targets: [string, Target][] = [
      ...Object.entries(state.arenas).flatMap(([prefix, arena]) => targetsOf(prefix, arena)),
      ...single.map(([name, tensor]): [string, Target] => [name, onDevice(tensor)]),
    ];
    for (const [name, { shape }] of targets) this.#checkShape(name, shape);
    const damaged: string[] = [];
    for (const [name, target] of targets) {
      const stored = await this.checkpoint.read(name);
      if (this.checksums && this.checksums.get(name) !== tensorChecksum(stored)) damaged.push(name);
      target.write(this.#elements(name, stored));
    }
    if (damaged.length === 0) return { lossScaleIsMissing: storedScales.length < scales.length };
    const [first] = damaged;
    const more = damaged.length > 1 ? ` and ${damaged.length - 1} more tensors` : "";
    throw new CorruptFileError(`${this.file}: it is damaged: the checksum of ${first}${more} is wrong`);
  }

  #checkShape(name: string, expected: readonly number[]): void {
    const info = this.checkpoint.tensors.get(name);
    if (info && info.shape.join() === expected.join()) return;
    throw new CheckpointError(
      "corrupt",
      `${this.file}: ${name} is ${info ? `[${info.shape}]` : "missing"}, expected [${expected}]; it belongs to another model`,
    );
  }

  #elements(name: string, { data }: HostTensor): Exclude<HostTensor["data"], BigInt64Array | BigUint64Array> {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array)
      throw new CheckpointError("corrupt", `${this.file}: ${name} holds 64-bit integers`);
    return data;
  }

  close(): Promise<void> {
    return this.checkpoint.close();
  }
}

/** A tensor that values are restored to. */
interface Target {
  readonly shape: readonly number[];
  write(values: Exclude<HostTensor["data"], BigInt64Array | BigUint64Array>): void;
}

function onDevice(tensor: Tensor): Target {
  return { shape: tensor.shape, write: (values) => tensor.device.write(tensor, values) };
}

function targetsOf(prefix: string, arena: StateArena): [string, Target][] {
  if (!(arena instanceof HostArena))
    return [...arena.tensors].map(([name, tensor]) => [`${prefix}${name}`, onDevice(tensor)]);
  return arena.entries.map(({ name, shape }) => [
    `${prefix}${name}`,
    { shape, write: (values) => arena.get(name).set(values) },
  ]);
}

/** @returns the checksums of the tensors, undefined for a file without any. @throws CorruptFileError */
async function verifiedChecksums(
  { metadata, tensors }: Checkpoint,
  file: string,
): Promise<ReadonlyMap<string, unknown> | undefined> {
  const [header, sums] = [metadata.get(checksumKeys.header), metadata.get(checksumKeys.tensors)];
  if (header === undefined && sums === undefined) return undefined;
  if (sums === undefined || header !== (await headerChecksum(Object.fromEntries(metadata), tensors)))
    throw new CorruptFileError(`${file}: it is damaged: the checksum of its header is wrong`);
  const parsed: unknown = JSON.parse(sums);
  return new Map(Object.entries(parsed ?? {}));
}
