import { DTypeError } from "./errors.ts";

/** Element types; `u8` is storage only (packed four to a word in shaders). */
export type DType = "f32" | "f16" | "u32" | "i32" | "u8";

/** Host data of a tensor; `f16` travels as its bit patterns in a `Uint16Array`. */
export type HostArray = Float32Array | Uint16Array | Uint32Array | Int32Array | Uint8Array;

export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, f16: 2, u32: 4, i32: 4, u8: 1 };

const constructors = {
  f32: Float32Array,
  f16: Uint16Array,
  u32: Uint32Array,
  i32: Int32Array,
  u8: Uint8Array,
} as const;

/** A view of `bytes` as elements of `dtype`. */
export function viewAs(dtype: DType, bytes: ArrayBuffer, byteOffset = 0, length?: number): HostArray {
  return new constructors[dtype](bytes, byteOffset, length);
}

/** Smallest and largest number of the integer types. */
export const integerRanges: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  u32: [0, 2 ** 32 - 1],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u8: [0, 255],
};

/**
 * Host array of `dtype`: `data` itself where it has that type, else its numbers, from lists and typed arrays of every kind.
 *
 * @throws DTypeError for what is no number or does not fit an integer type, and for f16 unless it is given as bit patterns
 */
export function hostArray(dtype: DType, data: ArrayLike<number | bigint>, what: string): HostArray {
  const type = constructors[dtype];
  if (data instanceof type) return data;
  if (dtype === "f16")
    throw new DTypeError(`${what}: f16 data is given as a Uint16Array of bit patterns; upload f32 and use cast`);
  if (data instanceof Uint16Array && dtype === "f32") {
    throw new DTypeError(
      `${what}: got Uint16Array, which holds bits of f16, expected Float32Array for dtype f32; name the dtype f16, or convert it first`,
    );
  }
  const values = new type(data.length);
  const [low, high] = integerRanges[dtype] ?? [];
  for (let i = 0; i < data.length; i++) {
    const given: unknown = data[i];
    const value = typeof given === "bigint" ? Number(given) : given;
    if (typeof value !== "number")
      throw new DTypeError(
        `${what}: element ${i} is ${shown(given)}, expected a number; nested lists need equal lengths`,
      );
    if (low !== undefined && high !== undefined && !(Number.isInteger(value) && low <= value && value <= high))
      throw new DTypeError(
        `${what}: element ${i} is ${value}, expected a whole number in ${low} … ${high} for ${dtype}`,
      );
    values[i] = value;
  }
  return values;
}

function shown(value: unknown): string {
  return typeof value === "object" && value !== null ? value.constructor.name : String(value);
}

/** Index of the first NaN or infinity, found by bit pattern, or -1. */
export function firstNonFinite(data: HostArray, dtype: DType): number {
  if (dtype === "f32" && data instanceof Float32Array) {
    const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
    return bits.findIndex((word) => (word & 0x7f800000) === 0x7f800000);
  }
  return dtype === "f16" ? data.findIndex((half) => (half & 0x7c00) === 0x7c00) : -1;
}
