import type { ByteSource } from "./byte_source.ts";
import { CheckpointError, EmptyFileError, ForeignFileError, MissingTensorError } from "./errors.ts";
import type { HostTensor, TensorInfo } from "./host_tensor.ts";
import { npyMagic, openNpy } from "./npy/npy_reader.ts";
import type { PlainValue } from "./pytorch/pickle_tree.ts";
import { openPyTorch } from "./pytorch/pytorch_reader.ts";
import { openSafetensors } from "./safetensors/safetensors_reader.ts";
import type { StoredTensor } from "./stored_tensor.ts";

/** Formats that `openCheckpoint` tells apart by content. */
export type CheckpointFormat = "safetensors" | "pytorch-zip" | "pytorch-legacy" | "npy";

interface Content {
  readonly format: CheckpointFormat;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata?: ReadonlyMap<string, string>;
  readonly plainValues?: ReadonlyMap<string, PlainValue>;
  readonly unreadable?: ReadonlyMap<string, string>;
}

/** An open file of tensors. Reading one takes memory for it and a few MiB, however large the file is. */
export class Checkpoint {
  readonly format: CheckpointFormat;
  /** Free text beside the tensors (safetensors). */
  readonly metadata: ReadonlyMap<string, string>;
  /** Leaves that are no tensors, by slash-joined path (PyTorch). */
  readonly plainValues: ReadonlyMap<string, PlainValue>;
  /**
   * What stands where a tensor may be expected and is none that can be read, by path: complex, quantised or sparse tensors, arrays of
   * NumPy, objects of classes that are not known (PyTorch). Nothing of them was run.
   */
  readonly unreadable: ReadonlyMap<string, string>;
  private readonly source: ByteSource;
  private readonly stored: ReadonlyMap<string, StoredTensor>;

  constructor(source: ByteSource, content: Content) {
    this.source = source;
    this.format = content.format;
    this.stored = content.tensors;
    this.metadata = content.metadata ?? new Map();
    this.plainValues = content.plainValues ?? new Map();
    this.unreadable = content.unreadable ?? new Map();
  }

  /** Tensors by name: slash-joined paths for PyTorch; the empty name for a bare tensor or `.npy`. */
  get tensors(): ReadonlyMap<string, TensorInfo> {
    return this.stored;
  }

  /** Reads one tensor as it is stored, row-major. @throws MissingTensorError, TruncatedFileError, CorruptFileError */
  read(name: string): Promise<HostTensor> {
    return this.find(name).read();
  }

  /** Reads one tensor as row-major floats. @throws MissingTensorError, TruncatedFileError, CorruptFileError */
  readAsF32(name: string): Promise<Float32Array> {
    return this.find(name).readAsF32();
  }

  close(): Promise<void> {
    return this.source.close();
  }

  private find(name: string): StoredTensor {
    const tensor = this.stored.get(name);
    if (tensor) return tensor;
    const reason = this.unreadable.get(name);
    if (reason !== undefined)
      throw new MissingTensorError(
        `${this.source.name}: ${JSON.stringify(name)} is ${reason}; convert it to a plain tensor of floats where the file was made`,
      );
    const some = [...this.stored.keys()]
      .slice(0, 5)
      .map((key) => JSON.stringify(key))
      .join(", ");
    throw new MissingTensorError(
      `${this.source.name}: no tensor ${JSON.stringify(name)} among ${this.stored.size}, which begin with ${some}`,
    );
  }
}

// What people feed by mistake, by its first characters, with what to do about it.
const strangers: readonly (readonly [start: string, advice: string])[] = [
  ["<", "an HTML or XML page, perhaps an error page of a server; fetch the file again"],
  ["version https://git-lfs", "a Git LFS pointer; run `git lfs pull` to get the file behind it"],
  ["\x1f\x8b", "compressed by gzip; decompress it first"],
  ["\x89HDF", "HDF5; convert it to safetensors first"],
  ["GGUF", "GGUF; convert it to safetensors first"],
];

/** The list of files that a large model was split into (`model.safetensors.index.json`), or another file of settings. */
const jsonAdvice =
  "JSON; if it is the index of a model in several files (*.index.json), load the model where it was made and save its state_dict as one file";

/** Whether a file begins as JSON does; the length of a safetensors header can begin with a brace, too, but ends in zeros. */
function isJson(start: string): boolean {
  return /^(\xef\xbb\xbf)?\s*[{[]/.test(start) && !start.slice(0, 8).includes("\0");
}

function foreign(name: string, start: string): ForeignFileError {
  if (isJson(start)) return new ForeignFileError(`${name}: not a checkpoint: ${jsonAdvice}`);
  const advice = strangers.find(([sign]) => start.startsWith(sign))?.[1];
  return new ForeignFileError(
    `${name}: not a checkpoint: ${advice ?? "neither safetensors nor a file of torch.save nor .npy"}`,
  );
}

async function readContent(source: ByteSource): Promise<Content> {
  if (source.sizeBytes === 0) throw new EmptyFileError(`${source.name}: the file is empty; fetch it again`);
  const start = String.fromCharCode(...(await source.read(0, Math.min(32, source.sizeBytes))));
  // A safetensors file starts with the length of its header, which can look like the start of a pickle.
  const isSafetensors = start.startsWith("\0\0\0\0{", 4);
  if (start.startsWith(npyMagic)) return { format: "npy", tensors: new Map([["", await openNpy(source)]]) };
  if (start.startsWith("PK\x03\x04") || (start.startsWith("\x80") && !isSafetensors)) return openPyTorch(source);
  if (start[8] === "{" && !isJson(start)) return { format: "safetensors", ...(await openSafetensors(source)) };
  throw foreign(source.name, start);
}

/**
 * Opens a checkpoint: safetensors, PyTorch (both containers) or `.npy`, told apart by content and never by name. Only
 * headers are read. The source belongs to the checkpoint from here on and is closed with it, or on failure.
 *
 * @throws EmptyFileError, ForeignFileError, TruncatedFileError, CorruptFileError
 * @throws ForbiddenGlobalError if a pickle asks for more than data; nothing was executed
 */
export async function openCheckpoint(source: ByteSource): Promise<Checkpoint> {
  try {
    return new Checkpoint(source, await readContent(source));
  } catch (error) {
    await source.close();
    throw error instanceof CheckpointError ? error.inFile(source.name) : error;
  }
}
