import { CorruptFileError, ForbiddenGlobalError } from "../errors.ts";
import { countElements, elementBytes, type FileDType } from "../host_tensor.ts";
import { viewExtent } from "../strided_view.ts";
import {
  type ForeignElements,
  PickleDict,
  PickleGlobal,
  PickleOpaque,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

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

/** Bytes of one element of PyTorch's other storage classes: complex, quantised, and those of 8 bits. */
const foreignBytes: ReadonlyMap<string, number> = new Map([
  ["ComplexHalfStorage", 4],
  ["ComplexFloatStorage", 8],
  ["ComplexDoubleStorage", 16],
  ["QInt8Storage", 1],
  ["QUInt8Storage", 1],
  ["QInt32Storage", 4],
  ["QUInt4x2Storage", 1],
  ["QUInt2x4Storage", 1],
  ["Float8_e5m2Storage", 1],
  ["Float8_e4m3fnStorage", 1],
]);

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
  const elements = elementsOfClass(className, type.name);
  if (view === null) return new PickleStorage(key, elements, size);
  const [, start, viewSize] = view instanceof PickleTuple ? view.items : [];
  if (!isSize(start) || !isSize(viewSize) || start + viewSize > size) {
    throw new CorruptFileError(`unpickle: the view into storage ${JSON.stringify(key)} leaves its ${size} elements`);
  }
  return new PickleStorage(key, elements, size, start, viewSize);
}

/** What a storage of that class holds; undefined for plain bytes. @throws ForbiddenGlobalError for a class that is no storage */
function elementsOfClass(className: string, full: string): FileDType | ForeignElements | undefined {
  if (className === "UntypedStorage") return undefined;
  if (!className.endsWith("Storage")) throw new ForbiddenGlobalError(full);
  return storageDTypes.get(className) ?? { className: full, elementBytes: foreignBytes.get(className) };
}

/** Marks of a tensor: values that differ from those in its storage by a sign, or more. */
interface Marks {
  readonly isNegated: boolean;
  /** Marks that are set and not known. */
  readonly unknown: readonly string[];
}

/** The marks in the last argument of a tensor, a dictionary such as `{"neg": True}`; torch/_utils.py, `_rebuild_tensor_v2`. */
function marksOf(value: PickleValue | undefined): Marks {
  const entries = value instanceof PickleDict ? [...value.entries] : [];
  const set = entries.filter(([, state]) => state !== false && state !== null).map(([key]) => String(key));
  const isUnreadable = value !== null && value !== undefined && !(value instanceof PickleDict);
  return {
    isNegated: set.includes("neg"),
    unknown: [...set.filter((key) => key !== "neg"), ...(isUnreadable ? ["of an unknown kind"] : [])],
  };
}

/** Types whose sign a mark may change without leaving the type. */
const signed: ReadonlySet<FileDType> = new Set(["f64", "f32", "f16", "bf16"]);

/** A tensor `(storage, offset, shape, strides, requires_grad, hooks, marks)` whose storage tells its type. @throws CorruptFileError */
export function typedTensorOf(args: readonly PickleValue[]): PickleTensor | PickleOpaque {
  const [storage] = args;
  if (storage instanceof PickleStorage && storage.foreign)
    return new PickleOpaque(`a tensor of ${storage.foreign.className}`);
  return markedTensor(tensorOf(args), args[6]);
}

/** A tensor `(storage, offset, shape, strides, requires_grad, hooks, dtype, marks)` over plain bytes. @throws CorruptFileError */
export function untypedTensorOf(args: readonly PickleValue[]): PickleTensor | PickleOpaque {
  const type = args[6];
  const dtype = type instanceof PickleGlobal ? torchDTypes.get(type.name.slice("torch.".length)) : undefined;
  if (type instanceof PickleGlobal && !dtype) return new PickleOpaque(`a tensor of ${type.name}`);
  return markedTensor(tensorOf(args, dtype), args[7]);
}

function markedTensor(tensor: PickleTensor, value: PickleValue | undefined): PickleTensor | PickleOpaque {
  const { isNegated, unknown } = marksOf(value);
  if (unknown.length > 0) return new PickleOpaque(`a tensor with the mark ${unknown.join(", ")}`);
  if (!isNegated) return tensor;
  const { storage, dtype, offset, shape, strides } = tensor;
  if (!signed.has(dtype)) return new PickleOpaque(`a tensor of ${dtype} that is marked as negated`);
  return new PickleTensor(storage, dtype, offset, shape, strides, { isNegated });
}

/**
 * A tensor from `(storage, offset, shape, strides, …)`.
 *
 * @param dtype - element type of a tensor whose storage has none
 * @throws CorruptFileError if it would reach beyond its storage
 */
function tensorOf(args: readonly PickleValue[], dtype?: FileDType): PickleTensor {
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
