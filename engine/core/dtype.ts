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

/** Host array of `dtype` from numbers or from an array that already has that type. */
export function hostArray(dtype: DType, data: ArrayLike<number>, what: string): HostArray {
  const type = constructors[dtype];
  if (data instanceof type) return data;
  if (ArrayBuffer.isView(data) && dtype !== "f32") {
    throw new DTypeError(
      `${what}: got ${data.constructor.name}, expected ${type.name} for dtype ${dtype}; convert it first`,
    );
  }
  if (ArrayBuffer.isView(data) && !(data instanceof Float64Array)) {
    throw new DTypeError(
      `${what}: got ${data.constructor.name}, expected Float32Array for dtype f32; convert it first`,
    );
  }
  if (dtype === "f16")
    throw new DTypeError(`${what}: f16 data is given as a Uint16Array of bit patterns; upload f32 and use cast`);
  return type.from(data);
}

/** Index of the first NaN or infinity, found by bit pattern, or -1. */
export function firstNonFinite(data: HostArray, dtype: DType): number {
  if (dtype === "f32" && data instanceof Float32Array) {
    const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
    return bits.findIndex((word) => (word & 0x7f800000) === 0x7f800000);
  }
  return dtype === "f16" ? data.findIndex((half) => (half & 0x7c00) === 0x7c00) : -1;
}
