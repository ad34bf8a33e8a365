import { bytesOf, memorySource, openCheckpoint } from "../../engine/files/index.ts";
import type { RunStore } from "../training/run_store.ts";

/** The first byte of a stored tensor that is another than the computed one. */
export interface StoredDifference {
  /** Its name in the checkpoint. */
  readonly tensor: string;
  /** Of the tensor's bytes, from 0. */
  readonly byte: number;
  readonly stored: number | undefined;
  readonly computed: number | undefined;
}

/**
 * Compares a stored run checkpoint with the bytes of a computed one, tensor by tensor in the order of their names; metadata may
 * differ.
 *
 * @throws CheckpointError for a stored file that cannot be read
 */
export async function compareCheckpoints(
  store: RunStore,
  file: string,
  computed: Uint8Array,
): Promise<StoredDifference | undefined> {
  const [old, made] = [
    await openCheckpoint(await store.open(file)),
    await openCheckpoint(memorySource(computed, file)),
  ];
  try {
    for (const tensor of [...new Set([...old.tensors.keys(), ...made.tensors.keys()])].sort()) {
      const [left, right] = [old, made].map(({ tensors }) => tensors.has(tensor));
      const stored = left ? bytesOf(await old.read(tensor)) : new Uint8Array();
      const again = right ? bytesOf(await made.read(tensor)) : new Uint8Array();
      const byte = firstDifference(stored, again);
      if (byte !== undefined) return { tensor, byte, stored: stored[byte], computed: again[byte] };
    }
    return undefined;
  } finally {
    await old.close();
    await made.close();
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return undefined;
}
