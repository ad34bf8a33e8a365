import { bytesPerElement, viewAs } from "../../../engine/core/dtype.ts";
import { viewRows } from "../../../engine/core/tensor.ts";
import { arenaBlockElements, type HostArray, type Tensor } from "../../../engine/index.ts";

/** Pieces of at most 16 MiB: a bus of 10 GB/s takes 2 ms for one, and those on their way together take little of the device. */
const mostElements = 2 ** 22;
/** Smaller arenas are cut into as many, so that here, too, they take little beside the whole. */
const fewestPieces = 16;
/** Where pieces may begin: a table with an entry per block is bound from multiples of 256 bytes. */
const granularity = 64 * arenaBlockElements;
/** Chunks up to 1 MiB are read at once. */
const smallElements = 2 ** 18;

/** Elements of a chunk that are on their way between host and device at once. */
export function pieceElements(chunkElements: number): number {
  const wanted = Math.min(mostElements, chunkElements / fewestPieces);
  return Math.ceil(wanted / granularity) * granularity;
}

/** The values of an arena's chunk, read in pieces, so that no buffer of its size is needed for that. @throws DeviceLostError */
export async function readChunk(chunk: Tensor): Promise<HostArray> {
  const { size, dtype } = chunk;
  if (size <= smallElements) return chunk.read();
  const values = viewAs(dtype, new ArrayBuffer(size * bytesPerElement[dtype]));
  const length = pieceElements(size);
  for (let from = 0; from < size; from += length)
    values.set(await viewRows(chunk, from, Math.min(size, from + length)).read(), from);
  return values;
}
