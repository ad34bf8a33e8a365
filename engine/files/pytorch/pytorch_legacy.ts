import { type ByteSource, sliceSource } from "../byte_source.ts";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../errors.ts";
import { NeedMoreBytes } from "./pickle_cursor.ts";
import { leavesOf } from "./pickle_tree.ts";
import { PickleDict, PickleList, type PickleStorage, type PickleValue } from "./pickle_values.ts";
import { largestPickleBytes, type PyTorchContainer } from "./pytorch_container.ts";
import { type Unpickled, unpickle } from "./unpickler.ts";

// torch/serialization.py: MAGIC_NUMBER and PROTOCOL_VERSION of the container.
const magicNumber = 0x1950a86a20f9469cfc6cn;
const containerVersion = 1001;
// The first piece of a pickle of unknown length; doubled until the pickle is complete.
const firstPieceBytes = 64 * 2 ** 10;

/** Reads the pickle that starts at `offset`; its length is known only afterwards. */
async function readPickle(source: ByteSource, offset: number): Promise<Unpickled> {
  const available = source.sizeBytes - offset;
  for (let pieceBytes = firstPieceBytes; ; pieceBytes *= 2) {
    const bytes = await source.read(offset, Math.min(pieceBytes, available));
    try {
      return unpickle(bytes, available);
    } catch (error) {
      if (!(error instanceof NeedMoreBytes)) throw error;
      if (pieceBytes >= largestPickleBytes) {
        throw new CorruptFileError(`${source.name}: a pickle of more than ${largestPickleBytes} bytes`, {
          cause: error,
        });
      }
    }
  }
}

function checkSystem(name: string, system: PickleValue): void {
  if (!(system instanceof PickleDict)) throw new CorruptFileError(`${name}: the description of the machine is damaged`);
  if (system.entries.get("little_endian") !== true) {
    throw new ForeignFileError(`${name}: big-endian data; save the file on a little-endian machine`);
  }
}

/** Data of each storage: its number of elements in 8 bytes, then the elements, in the order of `keys`. */
async function locateStorages(
  source: ByteSource,
  start: number,
  keys: PickleValue,
  storages: ReadonlyMap<string, PickleStorage>,
): Promise<Map<string, ByteSource>> {
  const located = new Map<string, ByteSource>();
  let offset = start;
  for (const key of keys instanceof PickleList ? keys.items : []) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage || located.has(storage.key)) {
      throw new CorruptFileError(
        `${source.name}: the list of storages does not match the tensors; the file is damaged`,
      );
    }
    const head = await source.read(offset, 8);
    const size = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
    if (size !== BigInt(storage.rootSize)) {
      throw new CorruptFileError(
        `${source.name}: storage ${JSON.stringify(storage.key)} has ${size} elements, the tensors in it declare ${storage.rootSize}`,
      );
    }
    if (storage.unitBytes === undefined)
      throw new ForeignFileError(
        `${source.name}: storage ${JSON.stringify(storage.key)} of ${storage.foreign?.className} has elements of unknown size, so that what follows it cannot be found; save the file with a newer PyTorch`,
      );
    const sizeBytes = storage.rootSize * storage.unitBytes;
    located.set(storage.key, sliceSource(source, offset + 8, sizeBytes));
    offset += 8 + sizeBytes;
  }
  for (const key of storages.keys()) {
    if (!located.has(key))
      throw new TruncatedFileError(`${source.name}: the data of storage ${JSON.stringify(key)} is missing`);
  }
  return located;
}

/** Opens the container that `torch.save` wrote before PyTorch 1.6: five pickles, then the storages one after the other. */
export async function openLegacyContainer(source: ByteSource): Promise<PyTorchContainer> {
  const magic = await readPickle(source, 0);
  if (magic.value !== magicNumber) {
    throw new ForeignFileError(
      `${source.name}: a pickle, but not one of torch.save; save a state_dict with torch.save`,
    );
  }
  let offset = magic.length;
  const next = async (): Promise<Unpickled> => {
    const part = await readPickle(source, offset);
    offset += part.length;
    return part;
  };
  const version = await next();
  if (version.value !== containerVersion) {
    throw new ForeignFileError(
      `${source.name}: container version ${String(version.value)}, known is ${containerVersion}`,
    );
  }
  checkSystem(source.name, (await next()).value);
  const content = await next();
  const keys = await next();
  const located = await locateStorages(source, offset, keys.value, content.storages);
  return {
    leaves: leavesOf(content.value),
    async open(storage) {
      const data = located.get(storage.key);
      if (!data)
        throw new CorruptFileError(`${source.name}: storage ${JSON.stringify(storage.key)} is not in the file`);
      return data;
    },
  };
}
