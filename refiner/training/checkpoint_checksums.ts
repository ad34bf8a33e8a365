import { bytesOf, type HostTensor, type TensorInfo } from "../../engine/files/index.ts";
import type { RunCheckpointMetadata } from "./run_state.ts";

/** Where a run checkpoint keeps the checksums of its tensors (JSON), and that of everything but their elements. */
export const checksumKeys = { tensors: "checksums", header: "checksum" } as const;

const pieceBytes = 2 ** 23; // pieces are digested by several threads at once
const inFlight = 4; // threads of Node's pool

/** SHA-256 of the digests of the pieces of a tensor's bytes, in hexadecimal digits. */
async function tensorChecksum(tensor: HostTensor): Promise<string> {
  const bytes = bytesOf(tensor);
  const pieces: Promise<Uint8Array>[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (pieces.length >= inFlight) await pieces[pieces.length - inFlight];
    pieces.push(sha256(bytes.subarray(at, at + pieceBytes)));
  }
  const digests = await Promise.all(pieces);
  return hexadecimal(await sha256(Uint8Array.from(digests.flatMap((digest) => [...digest]))));
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = bytes;
  const own = buffer instanceof ArrayBuffer ? new Uint8Array(buffer, byteOffset, byteLength) : new Uint8Array(bytes);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", own));
}

function hexadecimal(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Digests tensors beside other work, a few at a time, and gives back their checksums by name. */
export class ChecksumQueue {
  readonly #checksums = new Map<string, string>();
  #pending: Promise<void>[] = [];

  /** The elements must stay as they are until the queue has ended. */
  async add(name: string, tensor: HostTensor): Promise<void> {
    const done = tensorChecksum(tensor).then((checksum) => void this.#checksums.set(name, checksum));
    done.catch(() => undefined); // reported when it is awaited
    this.#pending.push(done);
    if (this.#pending.length > inFlight) await this.#pending.shift();
  }

  async end(): Promise<ReadonlyMap<string, string>> {
    await Promise.all(this.#pending);
    this.#pending = [];
    return this.#checksums;
  }
}

/** Metadata of a run checkpoint with the checksums of its tensors and of all that its header says. */
export async function withChecksums(
  metadata: RunCheckpointMetadata,
  tensors: ReadonlyMap<string, Pick<TensorInfo, "dtype" | "shape">>,
  checksums: ReadonlyMap<string, string>,
): Promise<RunCheckpointMetadata> {
  const sums = [...tensors.keys()].map((name) => [name, checksums.get(name)]);
  const all = { ...metadata, [checksumKeys.tensors]: JSON.stringify(Object.fromEntries(sums)) };
  return { ...all, [checksumKeys.header]: await headerChecksum(all, tensors) };
}

/** Checksum of metadata, and of names, types and shapes of the tensors, in whatever order they stand. */
export async function headerChecksum(
  metadata: RunCheckpointMetadata,
  tensors: ReadonlyMap<string, Pick<TensorInfo, "dtype" | "shape">>,
): Promise<string> {
  const fields = Object.entries(metadata).filter(([key]) => key !== checksumKeys.header);
  const described = [...tensors].map(([name, { dtype, shape }]) => [name, dtype, ...shape].join());
  const text = JSON.stringify([fields.map((field) => field.join("=")).sort(), described.sort()]);
  return hexadecimal(await sha256(new TextEncoder().encode(text)));
}
