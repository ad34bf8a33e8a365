import fc from "fast-check";
import { elementBytes, type FileDType, type HostTensor, tensorFromBytes } from "../../../engine/files/host_tensor.ts";

export const allDTypes: readonly FileDType[] = [
  "f64",
  "f32",
  "f16",
  "bf16",
  "i64",
  "u64",
  "i32",
  "u32",
  "i16",
  "u16",
  "i8",
  "u8",
  "bool",
];

/** Shapes of rank 0 to 4 with axes of 0 and 1 among them. */
export const shapes = fc.array(fc.constantFrom(0, 1, 1, 2, 3, 5, 7), { maxLength: 4 });

/** Tensors of any bit patterns, NaN payloads included. */
export function tensors(dtypes: readonly FileDType[] = allDTypes): fc.Arbitrary<HostTensor> {
  return fc.tuple(fc.constantFrom(...dtypes), shapes).chain(([dtype, shape]) => {
    const length = shape.reduce<number>((product, axis) => product * axis, 1) * elementBytes(dtype);
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((bytes) => tensorFromBytes(dtype, shape, bytes.slice()));
  });
}
