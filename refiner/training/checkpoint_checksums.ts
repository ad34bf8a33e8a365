import { bytesOf, type HostTensor, type TensorInfo } from "../../engine/files/index.ts";
import type { RunCheckpointMetadata } from "./run_state.ts";

/** Where a run checkpoint keeps the checksums of its tensors (JSON), and that of everything but their elements. */
export const checksumKeys = { tensors: "checksums", header: "checksum" } as const;

const inFlight = 4;
// Odd, so that each step can be undone: one changed word always changes the result. Of xxHash (github.com/Cyan4973/xxHash).
const [primeA, primeB, primeC, primeD] = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f];

/**
 * Checksum of a tensor's bytes in four lanes of 32 bits, and their number. It finds damage, not forgery: without instructions for
 * it, SHA-256 takes several times as long.
 */
async function tensorChecksum(tensor: HostTensor): Promise<string> {
  const bytes = bytesOf(tensor);
  const whole = Math.floor(bytes.length / 16) * 16;
  const rest = new Uint8Array(16);
  rest.set(bytes.subarray(whole));
  const lanes = mixed(mixed([1, 2, 3, 4], wordsOf(bytes.subarray(0, whole))), wordsOf(rest));
  return [...lanes, bytes.length].map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

type Lanes = readonly [number, number, number, number];

function mixed([first, second, third, fourth]: Lanes, words: Uint32Array): Lanes {
  let [a, b, c, d] = [first, second, third, fourth];
  for (let i = 0; i < words.length; i += 4) {
    a = Math.imul(a ^ (words[i] ?? 0), primeA);
    b = Math.imul(b ^ (words[i + 1] ?? 0), primeB);
    c = Math.imul(c ^ (words[i + 2] ?? 0), primeC);
    d = Math.imul(d ^ (words[i + 3] ?? 0), primeD);
    // Brings high bits down, else two flips of the highest bit would cancel.
    a ^= a >>> 15;
    b ^= b >>> 15;
    c ^= c >>> 15;
    d ^= d >>> 15;
  }
  return [a, b, c, d];
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = bytes;
  const own = buffer instanceof ArrayBuffer ? new Uint8Array(buffer, byteOffset, byteLength) : new Uint8Array(bytes);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", own));
}

function hexadecimal(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Computes checksums of tensors, and gives them back by name. */
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
