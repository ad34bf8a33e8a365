import { bytesPerElement, viewAs } from "../../engine/core/dtype.ts";
import { bytesOf, type HostTensor, hostTensor, TensorItem, writeSafetensors } from "../../engine/files/index.ts";
import { arenaBlockElements, type DType, EngineError, type HostArray, sizeOf } from "../../engine/index.ts";
import { type Exchange, oneRank } from "../exchange/exchange.ts";
import { tensorChecksum, withChecksums } from "./checkpoint_checksums.ts";
import { valueChecksum } from "./lane_checksum.ts";
import { readChunk } from "./offload/arena_pieces.ts";
import { HostArena } from "./offload/host_arena.ts";
import type { StateArena } from "./offload/streamed_step.ts";
import type { RunCheckpointMetadata, RunState, StateEntry } from "./run_state.ts";
import type { RunStore } from "./run_store.ts";
import { StateDifferenceError } from "./state_difference_error.ts";
import { hashOfTensors, type StateHash } from "./state_hash.ts";

const folder = "checkpoints";
const kept = 2;

/** File of a number of completed updates; names sort by it. */
function runCheckpointFile(updates: number): string {
  return `${folder}/${String(updates).padStart(9, "0")}.safetensors`;
}

/** A state that is saved, and what the last update left, which it must be; where updates are hashed. */
export type SavedState = RunState & { readonly hash?: StateHash | undefined };

/**
 * Writes a run checkpoint atomically and removes all but the last two. The same state gives the same bytes, on however many ranks
 * it lies: the first one writes what the others send.
 *
 * @returns its file
 * @throws StateDifferenceError, before anything is written, for a state that is another than its hash
 * @throws EngineError where ranks that hold the same differ
 */
export async function saveRunCheckpoint(
  store: RunStore,
  updates: number,
  state: SavedState,
  metadata: RunCheckpointMetadata,
  exchange: Exchange = oneRank,
): Promise<string> {
  const { items, checksums, tensors } = await gathered(state, exchange);
  const written = runCheckpointFile(updates);
  if (exchange.rank > 0) return written;
  if (state.hash) checkHash(hashOfTensors(tensors), state.hash, updates);
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

/** What a checkpoint holds, and the checksums of its tensors. */
interface Gathered {
  readonly items: Map<string, TensorItem>;
  readonly checksums: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** Host copies of the state, and their checksums. */
async function gathered(state: RunState, exchange: Exchange): Promise<Gathered> {
  const items = new Map<string, TensorItem>();
  const checksums = new Map<string, string>();
  const tensors = await allTensors(state, exchange);
  for (const [name, tensor] of tensors) {
    items.set(name, TensorItem.of(tensor));
    checksums.set(name, tensorChecksum(tensor));
  }
  await checkSame(state, checksums, exchange);
  return { items, checksums, tensors };
}

/** Host copies of the state of this rank, and at the first one of all of them. */
export async function allTensors(state: RunState, exchange: Exchange): Promise<Map<string, HostTensor>> {
  const own = new Map<string, HostTensor>();
  for (const [prefix, arena] of Object.entries(state.arenas)) {
    for (const [name, tensor] of await arenaTensors(arena)) own.set(`${prefix}${name}`, tensor);
  }
  for (const [name, tensor] of Object.entries({ ...state.tensors, ...state.lossScale }))
    own.set(name, hostTensor(fileType(tensor.dtype), tensor.shape, await tensor.read()));
  if (!state.whole) return own;
  const all = new Map<string, HostTensor>();
  for (const entry of state.whole) {
    const tensor = await atFirst(entry, own.get(entry.name), exchange);
    if (tensor) all.set(entry.name, tensor);
  }
  return all;
}

/** A tensor that its owner holds, or all do: at the first rank, and where it is. */
async function atFirst(
  { shape, dtype, owner = 0 }: StateEntry,
  held: HostTensor | undefined,
  exchange: Exchange,
): Promise<HostTensor | undefined> {
  const route = { from: owner, to: 0 };
  if (held) {
    if (exchange.rank === owner) await exchange.pass(ownBytes(held), route);
    return held;
  }
  if (exchange.rank > 0) return undefined;
  const bytes = new Uint8Array(bytesPerElement[dtype] * sizeOf(shape));
  await exchange.pass(bytes, route);
  return hostTensor(fileType(dtype), shape, viewAs(dtype, bytes.buffer));
}

function ownBytes(tensor: HostTensor): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytesOf(tensor));
}

/** What every rank holds, such as the encoder, must be the same bits: a rank that went its own way would spoil all that follows. */
async function checkSame(state: RunState, checksums: ReadonlyMap<string, string>, exchange: Exchange): Promise<void> {
  if (!state.whole) return;
  const common = state.whole.flatMap(({ name, owner }) => (owner === undefined ? [checksums.get(name)] : []));
  const digests = await exchange.share(valueChecksum(common));
  const other = digests.findIndex((digest) => digest !== digests[0]);
  if (other < 0) return;
  throw new EngineError(
    `checkpoint: rank ${other} has another encoder than rank 0: their adapters, drivers or kernel variants differ; run all ranks on adapters of one kind, and go on from the last checkpoint with --resume`,
  );
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
