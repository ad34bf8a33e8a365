import { bytesOf, type HostTensor, type TensorInfo } from "../../engine/files/index.ts";
import { laneChecksum } from "./lane_checksum.ts";
import type { RunCheckpointMetadata } from "./run_state.ts";

/** Where a run checkpoint keeps the checksums of its tensors (JSON), and that of everything but their elements. */
export const checksumKeys = { tensors: "checksums", header: "checksum" } as const;

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = bytes;
  const own = buffer instanceof ArrayBuffer ? new Uint8Array(buffer, byteOffset, byteLength) : new Uint8Array(bytes);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", own));
}

function hexadecimal(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Checksum of a tensor's elements. */
export function tensorChecksum(tensor: HostTensor): string {
  return laneChecksum(bytesOf(tensor));
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
