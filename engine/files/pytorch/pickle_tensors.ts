import { CorruptFileError, ForbiddenGlobalError } from "../errors.ts";
import { countElements, elementBytes, type FileDType } from "../host_tensor.ts";
import { viewExtent } from "../strided_view.ts";
import { PickleGlobal, PickleStorage, PickleTensor, PickleTuple, type PickleValue } from "./pickle_values.ts";

/** Element types of PyTorch's storage classes, in `torch` and `torch.cuda`. */
export const storageDTypes: ReadonlyMap<string, FileDType> = new Map([
  ["DoubleStorage", "f64"],
  ["FloatStorage", "f32"],
  ["HalfStorage", "f16"],
  ["BFloat16Storage", "bf16"],
  ["LongStorage", "i64"],
  ["IntStorage", "i32"],
  ["ShortStorage", "i16"],
  ["CharStorage", "i8"],
  ["ByteStorage", "u8"],
  ["BoolStorage", "bool"],
] as const);

/** Element types of PyTorch's `torch.<name>` constants. */
export const torchDTypes: ReadonlyMap<string, FileDType> = new Map([
  ["float64", "f64"],
  ["float32", "f32"],
  ["float16", "f16"],
  ["bfloat16", "bf16"],
  ["int64", "i64"],
  ["int32", "i32"],
  ["int16", "i16"],
  ["int8", "i8"],
  ["uint8", "u8"],
  ["uint16", "u16"],
  ["uint32", "u32"],
  ["uint64", "u64"],
  ["bool", "bool"],
] as const);

// A view that repeats elements may be this much larger than what the file holds of it; a few bytes could otherwise
// ask for any amount of memory.
const largestRepetitionBytes = 64 * 2 ** 20;

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function sizes(value: PickleValue | undefined): number[] | undefined {
  return value instanceof PickleTuple && value.items.every(isSize) ? value.items.filter(isSize) : undefined;
}

/**
 * The storage behind a persistent id `("storage", class, key, location, size[, view])`; the view of old files is
 * `(key, offset, size)` within the storage of the former key.
 *
 * @throws CorruptFileError for any other id
 */
export function storageOf(id: PickleValue): PickleStorage {
  const [tag, type, key, , size, view = null] = id instanceof PickleTuple ? id.items : [];
  if (tag !== "storage" || !(type instanceof PickleGlobal) || typeof key !== "string" || !isSize(size)) {
    throw new CorruptFileError("unpickle: a persistent id does not describe a storage; the file is damaged");
  }
  const className = type.name.slice(type.name.lastIndexOf(".") + 1);
  const dtype = storageDTypes.get(className);
  if (!dtype && className !== "UntypedStorage") throw new ForbiddenGlobalError(type.name);
  if (view === null) return new PickleStorage(key, dtype, size);
  const [, start, viewSize] = view instanceof PickleTuple ? view.items : [];
  if (!isSize(start) || !isSize(viewSize) || start + viewSize > size) {
    throw new CorruptFileError(`unpickle: the view into storage ${JSON.stringify(key)} leaves its ${size} elements`);
  }
  return new PickleStorage(key, dtype, size, start, viewSize);
}

/**
 * A tensor from `(storage, offset, shape, strides, …)`.
 *
 * @param dtype - element type of a tensor whose storage has none
 * @throws CorruptFileError if it would reach beyond its storage
 */
export function tensorOf(args: readonly PickleValue[], dtype?: FileDType): PickleTensor {
  const [storage, offset] = args;
  const [shape, strides] = [sizes(args[2]), sizes(args[3])];
  const type = storage instanceof PickleStorage ? (dtype ?? storage.dtype) : undefined;
  if (!(storage instanceof PickleStorage) || !type || !isSize(offset) || !shape || shape.length !== strides?.length) {
    throw new CorruptFileError(
      "unpickle: a tensor lacks a valid storage, offset, shape or strides; the file is damaged",
    );
  }
  const count = countElements(shape);
  const extent = viewExtent(shape, strides);
  const available = storage.dtype ? storage.size : Math.floor(storage.size / elementBytes(type));
  const what = `unpickle: tensor [${shape.slice(0, 8)}] in storage ${JSON.stringify(storage.key)}`;
  if (count === undefined || !(extent === 0 || offset + extent <= available)) {
    throw new CorruptFileError(`${what} reaches beyond its ${available} elements; the file is damaged`);
  }
  if ((count - extent) * elementBytes(type) > largestRepetitionBytes) {
    throw new CorruptFileError(`${what} repeats ${extent} elements to ${count}; store it unexpanded`);
  }
  return new PickleTensor(storage, type, offset, shape, strides);
}
