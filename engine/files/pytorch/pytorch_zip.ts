import { type ByteSource, memorySource } from "../byte_source.ts";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../errors.ts";
import { readsForward } from "../strided_view.ts";
import { openZip, type ZipArchive, type ZipEntry } from "../zip/zip_reader.ts";
import { leavesOf } from "./pickle_tree.ts";
import type { PickleStorage, PickleTensor } from "./pickle_values.ts";
import { largestPickleBytes, type PyTorchContainer } from "./pytorch_container.ts";
import { unpickle } from "./unpickler.ts";

// Compressed storages up to this size are inflated as a whole for every tensor read; larger ones as a stream.
const wholeStorageBytes = 16 * 2 ** 20;

async function readWhole(archive: ZipArchive, entry: ZipEntry, largestBytes: number): Promise<Uint8Array> {
  if (entry.sizeBytes > largestBytes) {
    throw new CorruptFileError(`${entry.name}: ${entry.sizeBytes} bytes, at most ${largestBytes} are expected`);
  }
  const source = await archive.open(entry);
  const bytes = await source.read(0, source.sizeBytes);
  await source.close();
  return bytes;
}

function findPickle(source: ByteSource, archive: ZipArchive): { pickle: ZipEntry; folder: string } {
  for (const [name, pickle] of archive.entries) {
    const folder = /^((?:[^/]*\/)?)data\.pkl$/.exec(name)?.[1];
    if (folder !== undefined) return { pickle, folder };
  }
  throw new ForeignFileError(
    `${source.name}: a zip archive without data.pkl, which torch.save did not write; ${adviceFor([...archive.entries.keys()])}`,
  );
}

/** What to do with another kind of zip archive, by the names in it. */
function adviceFor(names: readonly string[]): string {
  const weights = names.filter((name) => /\.(pth|pt|th|ckpt|bin|safetensors|pth\.tar)$/i.test(name));
  if (weights.length > 0) return `unzip it and give the file in it: ${weights.slice(0, 3).join(", ")}`;
  if (names.length > 0 && names.every((name) => name.endsWith(".npy")))
    return "it is an .npz of NumPy arrays: save them as safetensors (safetensors.numpy.save_file), or one array as .npy";
  return "give a file of torch.save or safetensors";
}

async function checkByteOrder(archive: ZipArchive, folder: string): Promise<void> {
  const entry = archive.entries.get(`${folder}byteorder`);
  if (!entry) return; // written since PyTorch 2.1 only
  const order = new TextDecoder().decode(await readWhole(archive, entry, 64));
  if (order !== "little") {
    throw new ForeignFileError(
      `${entry.name}: byte order ${JSON.stringify(order)}; save the file on a little-endian machine`,
    );
  }
}

function findStorage(archive: ZipArchive, folder: string, storage: PickleStorage): ZipEntry {
  const name = `${folder}data/${storage.key}`;
  const entry = archive.entries.get(name);
  if (!entry)
    throw new TruncatedFileError(`unpickle: the archive lacks ${name}, which a tensor refers to; fetch the file again`);
  const expected = storage.rootSize * (storage.unitBytes ?? Number.NaN);
  if (storage.unitBytes !== undefined && entry.sizeBytes !== expected) {
    throw new CorruptFileError(`unpickle: ${name} has ${entry.sizeBytes} bytes, the tensors in it declare ${expected}`);
  }
  return entry;
}

/** A stream cannot be read back and forth at a bounded cost. */
function checkStreamable(entry: ZipEntry, { shape, strides }: PickleTensor): void {
  if (entry.method === "deflated" && entry.sizeBytes > wholeStorageBytes && !readsForward(shape, strides)) {
    throw new ForeignFileError(`${entry.name}: an overlapping view of compressed data; save the file uncompressed`);
  }
}

/** Opens the container that `torch.save` writes since PyTorch 1.6: a zip archive with a pickle and one file per storage. */
export async function openZipContainer(source: ByteSource): Promise<PyTorchContainer> {
  const archive = await openZip(source);
  const { pickle, folder } = findPickle(source, archive);
  const { value, storages } = unpickle(await readWhole(archive, pickle, largestPickleBytes));
  await checkByteOrder(archive, folder);
  const leaves = leavesOf(value);
  // Sizes are compared for every storage before data of the first is read.
  const entries = new Map([...storages].map(([key, storage]) => [key, findStorage(archive, folder, storage)]));
  for (const tensor of leaves.tensors.values()) {
    const entry = entries.get(tensor.storage.key);
    if (entry) checkStreamable(entry, tensor);
  }
  return {
    leaves,
    async open(storage) {
      const entry = findStorage(archive, folder, storage);
      const inflateWhole = entry.method === "deflated" && entry.sizeBytes <= wholeStorageBytes;
      return inflateWhole ? memorySource(await readWhole(archive, entry, wholeStorageBytes)) : archive.open(entry);
    },
  };
}
