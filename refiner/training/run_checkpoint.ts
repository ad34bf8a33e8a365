import {
  type Checkpoint,
  CheckpointError,
  type HostTensor,
  hostTensor,
  openCheckpoint,
  TensorItem,
  writeSafetensors,
} from "../../engine/files/index.ts";
import type { Arena, DType, HostArray, Tensor } from "../../engine/index.ts";
import type { RunStore } from "./run_store.ts";

/** State of a run: arenas by the prefix of their tensors' names, and single tensors by name. */
export interface RunState {
  readonly arenas: Readonly<Record<string, Arena>>;
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** Loss scale of a run in f16, by its name: missing in checkpoints that were written in f32, and then left as it is. */
  readonly lossScale?: Readonly<Record<string, Tensor>>;
}

/** Counters and settings that stand in a run checkpoint's metadata. */
export type RunCheckpointMetadata = Readonly<Record<string, string>>;

const folder = "checkpoints";
const kept = 2;

/** File of a number of completed updates; names sort by it. */
function runCheckpointFile(updates: number): string {
  return `${folder}/${String(updates).padStart(9, "0")}.safetensors`;
}

/**
 * Writes a run checkpoint atomically and removes all but the last two. The same state gives the same bytes.
 *
 * @returns its file
 */
export async function saveRunCheckpoint(
  store: RunStore,
  updates: number,
  state: RunState,
  metadata: RunCheckpointMetadata,
): Promise<string> {
  const items = await gather(state);
  const written = runCheckpointFile(updates);
  await store.write(written, (sink) => writeSafetensors(sink, items, metadata));
  const files = (await store.list(folder)).filter((file) => file.endsWith(".safetensors"));
  for (const file of files.slice(0, -kept)) await store.remove(`${folder}/${file}`);
  return written;
}

async function gather(state: RunState): Promise<Map<string, TensorItem>> {
  const items = new Map<string, TensorItem>();
  for (const [prefix, arena] of Object.entries(state.arenas)) {
    for (const [name, tensor] of await arenaTensors(arena)) items.set(`${prefix}${name}`, TensorItem.of(tensor));
  }
  for (const [name, tensor] of Object.entries({ ...state.tensors, ...state.lossScale })) {
    items.set(name, TensorItem.of(hostTensor(fileType(tensor.dtype), tensor.shape, await tensor.read())));
  }
  return items;
}

/** Host copies of all tensors of an arena, read chunk by chunk. */
export async function arenaTensors(arena: Arena): Promise<Map<string, HostTensor>> {
  const chunks: HostArray[] = [];
  for (const chunk of arena.chunks) chunks.push(await chunk.read());
  const tensors = new Map<string, HostTensor>();
  for (const { name, shape } of arena.entries) {
    const { chunk, firstBlock } = arena.placeOf(name);
    const size = shape.reduce((product, length) => product * length, 1);
    const data = chunks[chunk]?.slice(firstBlock * 64, firstBlock * 64 + size) ?? new Float32Array();
    tensors.set(name, hostTensor(fileType(arena.dtype), shape, data));
  }
  return tensors;
}

function fileType(dtype: DType): "f32" | "f16" | "u32" | "i32" | "u8" {
  return dtype;
}

/** Whether a run has written a checkpoint, whole or damaged. */
export async function hasRunCheckpoint(store: RunStore): Promise<boolean> {
  return (await store.list(folder)).some((file) => file.endsWith(".safetensors"));
}

/** The newest run checkpoint that can be read, with what was wrong with newer ones. */
export interface FoundRunCheckpoint {
  readonly file: string;
  readonly checkpoint: Checkpoint;
  /** One message per newer checkpoint that is damaged. */
  readonly damaged: readonly string[];
}

/**
 * Opens the newest readable checkpoint.
 *
 * @throws CheckpointError if there is none
 */
export async function newestRunCheckpoint(store: RunStore): Promise<FoundRunCheckpoint> {
  const files = (await store.list(folder)).filter((file) => file.endsWith(".safetensors")).reverse();
  const damaged: string[] = [];
  for (const name of files) {
    const file = `${folder}/${name}`;
    try {
      const checkpoint = await openCheckpoint(await store.open(file));
      return { file, checkpoint, damaged };
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      damaged.push(`${file}: ${error.message}`);
    }
  }
  const why = damaged.length > 0 ? `all are damaged (${damaged.join("; ")})` : "there is none";
  throw new CheckpointError(
    "missing",
    `${store.name}: no checkpoint to resume from: ${why}; start the run again with --force`,
  );
}

/**
 * Writes the values of a run checkpoint into the state.
 *
 * @returns whether there was a loss scale to restore, if the state has one
 * @throws CheckpointError if a tensor is missing or of another shape
 */
export async function restoreRunState(
  checkpoint: Checkpoint,
  state: RunState,
): Promise<{ readonly lossScaleIsMissing: boolean }> {
  const scales = Object.entries(state.lossScale ?? {});
  const storedScales = scales.filter(([name]) => checkpoint.tensors.has(name));
  const targets: [string, Tensor][] = [
    ...Object.entries(state.arenas).flatMap(([prefix, arena]) =>
      [...arena.tensors].map(([name, tensor]): [string, Tensor] => [`${prefix}${name}`, tensor]),
    ),
    ...Object.entries(state.tensors),
    ...storedScales,
  ];
  for (const [name, tensor] of targets) {
    const info = checkpoint.tensors.get(name);
    if (!info || info.shape.join() !== tensor.shape.join()) {
      throw new CheckpointError(
        "corrupt",
        `checkpoint: ${name} is ${info ? `[${info.shape}]` : "missing"}, expected [${tensor.shape}]; it belongs to another model`,
      );
    }
    const { data } = await checkpoint.read(name);
    if (data instanceof BigInt64Array || data instanceof BigUint64Array)
      throw new CheckpointError("corrupt", `checkpoint: ${name} holds 64-bit integers`);
    tensor.device.write(tensor, data);
  }
  return { lossScaleIsMissing: storedScales.length < scales.length };
}
