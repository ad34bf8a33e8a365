import type { BufferRange } from "../core/device_parts.ts";
import { bytesPerElement, firstNonFinite, type HostArray, viewAs } from "../core/dtype.ts";
import { IndexError, NonFiniteError } from "../core/errors.ts";
import type { FlagSet, Program } from "../core/recording.ts";
import { alignUp } from "../core/storage.ts";
import type { Tensor } from "../core/tensor.ts";

/** Bytes that a read-back of these tensors takes in a staging buffer. */
export function readBackBytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, x) => sum + alignUp(x.sizeBytes, 8), 0);
}

/** Cuts a staging copy into the values of its tensors. @throws IndexError if an index flag is set */
export function splitReadBack(
  program: Program | undefined,
  tensors: readonly Tensor[],
  bytes: ArrayBuffer,
): HostArray[] {
  let offset = 0;
  return tensors.map((tensor) => {
    const values = viewAs(tensor.dtype, bytes.slice(offset, offset + tensor.size * bytesPerElement[tensor.dtype]));
    offset += alignUp(tensor.sizeBytes, 8);
    const set = program?.flags.find((flags) => flags.tensor === tensor);
    if (set) raiseFlags(set, values);
    return values;
  });
}

function raiseFlags({ tensor, operations }: FlagSet, flags: HostArray): void {
  const slot = flags.findIndex((flag) => flag !== 0);
  if (slot < 0) return;
  tensor.device.write(tensor, new Uint32Array(tensor.size));
  throw new IndexError(
    `${operations[slot] ?? "gather"}: an index has the value ${flaggedIndex(flags[slot] ?? 1)}, which lies outside the table; it was clamped, so results since then are wrong: check the indices before the upload`,
  );
}

export function checkFinite(what: string, tensor: Tensor, data: HostArray): void {
  const bad = firstNonFinite(data, tensor.dtype);
  if (bad >= 0)
    throw new NonFiniteError(
      `${what}: element ${bad} is ${String(data[bad])}, expected finite numbers; clean the data before the upload`,
    );
}

export function writeBuffer(gpu: GPUDevice, range: BufferRange, data: HostArray): void {
  if (data.byteLength % 4 === 0) {
    gpu.queue.writeBuffer(range.buffer, range.offset, data.buffer, data.byteOffset, data.byteLength);
    return;
  }
  const padded = new Uint8Array(alignUp(data.byteLength, 4));
  padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  gpu.queue.writeBuffer(range.buffer, range.offset, padded);
}

/** Kernels note an index plus 1, and the bits of a negative one as they are. */
function flaggedIndex(flag: number): number {
  return flag > 2 ** 31 ? flag - 2 ** 32 : flag - 1;
}
