import { type HostTensor, hostTensor, TensorItem, writeSafetensors } from "../../engine/files/index.ts";
import { arenaBlockElements, type DType, type HostArray } from "../../engine/index.ts";
import { readChunk } from "./arena_pieces.ts";
import { tensorChecksum, withChecksums } from "./checkpoint_checksums.ts";
import { HostArena } from "./host_arena.ts";
import type { RunCheckpointMetadata, RunState } from "./run_state.ts";
import type { RunStore } from "./run_store.ts";
import { StateDifferenceError } from "./state_difference_error.ts";
import { hashOfTensors, type StateHash } from "./state_hash.ts";
import type { StateArena } from "./streamed_step.ts";

const folder = "checkpoints";
const kept = 2;

/** File of a number of completed updates; names sort by it. */
function runCheckpointFile(updates: number): string {
  return `${folder}/${String(updates).padStart(9, "0")}.safetensors`;
}

/** A state that is saved, and what the last update left, which it must be; where updates are hashed. */
export type SavedState = RunState & { readonly hash?: StateHash | undefined };

/**
 * Writes a run checkpoint atomically and removes all but the last two. The same state gives the same bytes.
 *
 * @returns its file
 * @throws StateDifferenceError, before anything is written, for a state that is another than its hash
 */
export async function saveRunCheckpoint(
  store: RunStore,
  updates: number,
  state: SavedState,
  metadata: RunCheckpointMetadata,
): Promise<string> {
  const { items, checksums, tensors } = await gather(state);
  if (state.hash) checkHash(hashOfTensors(tensors), state.hash, updates);
  const written = runCheckpointFile(updates);
  const verifiable = await withChecksums(metadata, items, checksums);
  await store.write(written, (sink) => writeSafetensors(sink, items, verifiable));
  const files = await runCheckpointFiles(store);
  // What is later was damaged, or belongs to a run that was gone back from: it must not push out what is written now.
  const last = files.slice(0, files.indexOf(written) + 1).slice(-kept);
  for (const file of files) if (!last.includes(file)) await store.remove(file);
  return written;
}

/** Files of the run checkpoints of a store, oldest first. */
export async function runCheckpointFiles(store: RunStore): Promise<string[]> {
  const names = await store.list(folder);
  return names.filter((name) => /^\d+\.safetensors$/.test(name)).map((name) => `${folder}/${name}`);
}

function checkHash(found: StateHash, left: StateHash, updates: number): void {
  if (found.whole === left.whole) return;
  throw new StateDifferenceError(
    `checkpoint: the state after ${updates} updates is not the one that the last of them left, and is not saved`,
    { updates, tensors: left.differing(found) },
    "a bit flipped on this machine: test its memory, then go on with --resume, from the last checkpoint before it",
  );
}

/** Host copies of the state, and their checksums. */
async function gather(state: RunState): Promise<{
  readonly items: Map<string, TensorItem>;
  readonly checksums: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, HostTensor>;
}> {
  const items = new Map<string, TensorItem>();
  const tensors = new Map<string, HostTensor>();
  const checksums = new Map<string, string>();
  const add = (name: string, tensor: HostTensor): void => {
    items.set(name, TensorItem.of(tensor));
    tensors.set(name, tensor);
    checksums.set(name, tensorChecksum(tensor));
  };
  for (const [prefix, arena] of Object.entries(state.arenas)) {
    for (const [name, tensor] of await arenaTensors(arena)) add(`${prefix}${name}`, tensor);
  }
  for (const [name, tensor] of Object.entries({ ...state.tensors, ...state.lossScale }))
    add(name, hostTensor(fileType(tensor.dtype), tensor.shape, await tensor.read()));
  return { items, checksums, tensors };
}

/** Host copies of all tensors of an arena, read chunk by chunk. */
export async function arenaTensors(arena: StateArena): Promise<Map<string, HostTensor>> {
  const chunks = await chunkValues(arena);
  const tensors = new Map<string, HostTensor>();
  for (const { name, shape } of arena.entries) {
    const { chunk, firstBlock } = arena.placeOf(name);
    const size = shape.reduce((product, length) => product * length, 1);
    const data =
      chunks[chunk]?.slice(firstBlock * arenaBlockElements, firstBlock * arenaBlockElements + size) ??
      new Float32Array();
    tensors.set(name, hostTensor(fileType(arena.dtype), shape, data));
  }
  return tensors;
}

async function chunkValues(arena: StateArena): Promise<HostArray[]> {
  if (arena instanceof HostArena) {
    await arena.settled();
    return arena.layout.chunks.map((_, i) => arena.chunk(i));
  }
  const chunks: HostArray[] = [];
  for (const chunk of arena.chunks) chunks.push(await readChunk(chunk));
  return chunks;
}

function fileType(dtype: DType): "f32" | "f16" | "u32" | "i32" | "u8" {
  return dtype;
}
