import { viewRows } from "../../engine/core/tensor.ts";
import type { Arena, HostArray, Tensor } from "../../engine/index.ts";
import type { Exchange } from "./exchange.ts";

/**
 * Elements of a piece, 4 MiB: the order in which values of several ranks are added may depend on its size, so that it is one
 * number for every arena and machine, and a part of a run's bits.
 */
export const sumPieceElements = 2 ** 20;

interface Piece {
  readonly tensor: Tensor;
  readonly values: Promise<HostArray>;
}

/**
 * Replaces the values of an arena by their sums over all ranks. It goes piece by piece: while one is summed, the next is on its
 * way to the host, and the one before on its way back.
 *
 * @throws DeviceLostError
 */
export async function sumArena(arena: Arena, exchange: Exchange): Promise<void> {
  const pieces = arena.chunks.flatMap(piecesOf);
  let coming = read(pieces[0]);
  for (let i = 0; i < pieces.length; i++) {
    const piece = coming;
    if (!piece) return;
    const values = await piece.values;
    coming = read(pieces[i + 1]);
    const sums = ownFloats(values);
    await exchange.sum(sums);
    arena.device.write(piece.tensor, sums);
  }
}

function piecesOf(chunk: Tensor): Tensor[] {
  const pieces: Tensor[] = [];
  for (let from = 0; from < chunk.size; from += sumPieceElements)
    pieces.push(viewRows(chunk, from, Math.min(chunk.size, from + sumPieceElements)));
  return pieces;
}

function read(tensor: Tensor | undefined): Piece | undefined {
  if (!tensor) return undefined;
  const values = tensor.read();
  values.catch(() => undefined); // reported when its turn comes
  return { tensor, values };
}

/** Floats in a buffer of their own, as exchanges take them. */
export function ownFloats(values: HostArray): Float32Array<ArrayBuffer> {
  const { buffer } = values;
  if (values instanceof Float32Array && buffer instanceof ArrayBuffer)
    return new Float32Array(buffer, values.byteOffset, values.length);
  return Float32Array.from(values);
}
