import type { ByteSource } from "../byte_source.ts";
import { elementBytes } from "../host_tensor.ts";
import { type Place, StoredTensor } from "../stored_tensor.ts";
import type { PlainValue } from "./pickle_tree.ts";
import type { PickleTensor } from "./pickle_values.ts";
import type { PyTorchContainer } from "./pytorch_container.ts";
import { openLegacyContainer } from "./pytorch_legacy.ts";
import { openZipContainer } from "./pytorch_zip.ts";

/** What a file written by `torch.save` holds; no tensor data has been read. */
export interface PyTorchContent {
  readonly format: "pytorch-zip" | "pytorch-legacy";
  /** Tensors by path: keys and list positions joined by slashes, empty for a bare tensor. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The other leaves, likewise. */
  readonly plainValues: ReadonlyMap<string, PlainValue>;
  /** What stands where a tensor may be expected and is none that can be read, by path: what it is. */
  readonly unreadable: ReadonlyMap<string, string>;
}

function storedTensor(tensor: PickleTensor, container: PyTorchContainer): StoredTensor {
  const { storage, dtype, offset } = tensor;
  const offsetBytes = storage.start * (storage.unitBytes ?? 0) + offset * elementBytes(dtype);
  const open = async (): Promise<Place> => {
    const source = await container.open(storage);
    return { source, offsetBytes, close: () => source.close() };
  };
  return new StoredTensor(tensor, open, tensor);
}

/**
 * Opens a file written by `torch.save`, in the zip container or in the one before it. The pickle in it can build
 * tensors, containers and plain values and nothing else; no code is reached.
 *
 * @throws ForbiddenGlobalError, TruncatedFileError, CorruptFileError, ForeignFileError before tensor data is read
 */
export async function openPyTorch(source: ByteSource): Promise<PyTorchContent> {
  const start = await source.read(0, Math.min(2, source.sizeBytes));
  const isZip = start[0] === 0x50 && start[1] === 0x4b; // "PK"
  const container = await (isZip ? openZipContainer(source) : openLegacyContainer(source));
  const { tensors, plainValues, unreadable } = container.leaves;
  return {
    format: isZip ? "pytorch-zip" : "pytorch-legacy",
    tensors: new Map([...tensors].map(([path, tensor]) => [path, storedTensor(tensor, container)])),
    plainValues,
    unreadable,
  };
}
