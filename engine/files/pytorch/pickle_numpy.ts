import { f16ToNumber } from "../../core/half_precision.ts";
import { CorruptFileError } from "../errors.ts";
import { elementBytes, elementsOf, type FileDType } from "../host_tensor.ts";
import { exactInteger } from "./pickle_cursor.ts";
import { PickleRecord, PickleTuple, type PickleValue } from "./pickle_values.ts";

const dtypes: ReadonlyMap<string, FileDType> = new Map([
  ["f8", "f64"],
  ["f4", "f32"],
  ["f2", "f16"],
  ["i8", "i64"],
  ["i4", "i32"],
  ["i2", "i16"],
  ["i1", "i8"],
  ["u8", "u64"],
  ["u4", "u32"],
  ["u2", "u16"],
  ["u1", "u8"],
  ["b1", "bool"],
] as const);

/**
 * The number in a NumPy scalar `(dtype, bytes)`, such as a stored accuracy.
 *
 * @returns undefined for what is no number of this machine: texts, dates, complex numbers, other byte orders
 * @throws CorruptFileError
 */
export function numpyScalar(dtype: PickleValue | undefined, content: PickleValue | undefined): PickleValue | undefined {
  const code = dtype instanceof PickleRecord ? dtype.args[0] : undefined;
  const type = typeof code === "string" ? dtypes.get(code) : undefined;
  if (dtype instanceof PickleRecord && !type) return undefined;
  const bytes = typeof content === "string" ? bytesOfText(content) : content; // as Python 2 wrote bytes
  if (!(dtype instanceof PickleRecord) || !type || !(bytes instanceof Uint8Array)) {
    throw new CorruptFileError("unpickle: a NumPy scalar lacks its type or bytes; the file is damaged");
  }
  const order = dtype.state instanceof PickleTuple ? dtype.state.items[1] : "<";
  if (order === ">") return undefined;
  if (bytes.byteLength !== elementBytes(type)) {
    throw new CorruptFileError(`unpickle: NumPy scalar of type ${code} in ${bytes.byteLength} bytes`);
  }
  const value = elementsOf(type, bytes)[0] ?? 0;
  if (typeof value === "bigint") return exactInteger(value);
  if (type === "bool") return value !== 0;
  return type === "f16" ? f16ToNumber(value) : value;
}

function bytesOfText(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
