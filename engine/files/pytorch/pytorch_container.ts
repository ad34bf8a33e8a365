import type { ByteSource } from "../byte_source.ts";
import type { PickleLeaves } from "./pickle_tree.ts";
import type { PickleStorage } from "./pickle_values.ts";

// Pickles of checkpoints describe tensors and options; those of the largest public models have a few MiB.
export const largestPickleBytes = 64 * 2 ** 20;

/** A file written by `torch.save`, taken apart: the tree that it describes and access to the tensors' data. */
export interface PyTorchContainer {
  readonly leaves: PickleLeaves;
  /** Opens the whole data of a storage. */
  open(storage: PickleStorage): Promise<ByteSource>;
}
