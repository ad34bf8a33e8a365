import { DTypeError, ShapeError } from "../core/errors.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../core/half_precision.ts";

/** Element types that files hold; more than the engine computes with. */
export type FileDType =
  | "f64"
  | "f32"
  | "f16"
  | "bf16"
  | "i64"
  | "u64"
  | "i32"
  | "u32"
  | "i16"
  | "u16"
  | "i8"
  | "u8"
  | "bool";

/** Elements of a file's tensor; `f16` and `bf16` are bit patterns, `bool` is 0 or 1. */
export type FileArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

interface FileArrayConstructor {
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): FileArray;
}

const arrays: Readonly<Record<FileDType, FileArrayConstructor>> = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  i32: Int32Array,
  u32: Uint32Array,
  i16: Int16Array,
  u16: Uint16Array,
  i8: Int8Array,
  u8: Uint8Array,
  bool: Uint8Array,
};

/** What is known about a tensor without reading its elements. */
export interface TensorInfo {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
}

/** A tensor in host memory, row-major. */
export interface HostTensor extends TensorInfo {
  readonly data: FileArray;
}

/** Bytes of one element. */
export function elementBytes(dtype: FileDType): number {
  return arrays[dtype].BYTES_PER_ELEMENT;
}

/**
 * Number of elements of a shape.
 *
 * @returns `undefined` if an axis is not a whole number from 0 on, or if the count exceeds 2^53
 */
export function countElements(shape: readonly number[]): number | undefined {
  if (!shape.every((axis) => Number.isSafeInteger(axis) && axis >= 0)) return undefined;
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const axis of shape) {
    count *= axis;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/** Little-endian elements as an array of `dtype`, shared where alignment permits and copied otherwise. */
export function elementsOf(dtype: FileDType, bytes: Uint8Array): FileArray {
  const size = elementBytes(dtype);
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new arrays[dtype](aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

/** A tensor from its little-endian row-major bytes. @throws ShapeError if their number does not fit */
export function tensorFromBytes(dtype: FileDType, shape: readonly number[], bytes: Uint8Array): HostTensor {
  const count = countElements(shape);
  if (count === undefined || count * elementBytes(dtype) !== bytes.byteLength) {
    throw new ShapeError(`tensorFromBytes: ${bytes.byteLength} bytes do not fill [${shape}] of ${dtype}`);
  }
  return { dtype, shape, sizeBytes: bytes.byteLength, data: elementsOf(dtype, bytes) };
}

/** A tensor around an array of its elements. @throws DTypeError, ShapeError if type or length does not fit */
export function hostTensor(dtype: FileDType, shape: readonly number[], data: FileArray): HostTensor {
  const expected = arrays[dtype];
  if (!(data instanceof expected)) {
    throw new DTypeError(`hostTensor: got ${data.constructor.name}, expected ${expected.name} for ${dtype}`);
  }
  if (countElements(shape) !== data.length) {
    throw new ShapeError(`hostTensor: ${data.length} elements do not fill [${shape}]`);
  }
  return { dtype, shape, sizeBytes: data.byteLength, data };
}

/** The elements as they are stored in files: little-endian, row-major; shares the tensor's memory. */
export function bytesOf(tensor: HostTensor): Uint8Array {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

/** Elements as floats; exact but for 64-bit floats and integers above 2^24, which are rounded. */
export function elementsToF32(dtype: FileDType, data: FileArray): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const values = new Float32Array(data.length);
    for (let i = 0; i < data.length; i++) values[i] = Number(data[i]);
    return values;
  }
  if (data instanceof Uint16Array && dtype === "f16") return f16ToF32(data);
  if (data instanceof Uint16Array && dtype === "bf16") return bf16ToF32(data);
  return new Float32Array(data);
}

/** A tensor as another float type; f64 is rounded to f32 on the way. */
export function convertTensor(tensor: HostTensor, dtype: "f32" | "f16" | "bf16"): HostTensor {
  if (tensor.dtype === dtype) return tensor;
  const values = elementsToF32(tensor.dtype, tensor.data);
  const data = dtype === "f32" ? values : dtype === "f16" ? f32ToF16(values) : f32ToBf16(values);
  return hostTensor(dtype, tensor.shape, data);
}
