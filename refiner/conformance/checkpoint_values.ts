import { bf16ToF32, f16ToF32, type HostTensor } from "../../engine/files/index.ts";
import { relativeError } from "./fixture.ts";
import type { Json } from "./json.ts";

/** JSON text of a leaf; the fixtures write infinity as "inf". */
export function plainText(value: unknown): string | undefined {
  if (typeof value === "number" && !Number.isFinite(value))
    return JSON.stringify(String(value).replace("Infinity", "inf").toLowerCase());
  return JSON.stringify(typeof value === "bigint" ? Number(value) : value);
}

const dtypeNames: Readonly<Record<string, string>> = {
  float64: "f64",
  float32: "f32",
  float16: "f16",
  bfloat16: "bf16",
  int64: "i64",
  int32: "i32",
  int16: "i16",
  int8: "i8",
  uint8: "u8",
  bool: "bool",
};

/** Largest relative error of the first values and the sum; infinite if type or shape differ. */
export function tensorError(stored: HostTensor, expected: Json): number {
  if (dtypeNames[expected.get("dtype").text()] !== stored.dtype) return Number.POSITIVE_INFINITY;
  if (String(expected.get("shape").numbers()) !== String(stored.shape)) return Number.POSITIVE_INFINITY;
  const { data, dtype } = stored;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const sum = Array.from(data).reduce((total, value) => total + value, 0n);
    return textError([...Array.from(data).slice(0, 8), sum].map(String), expected);
  }
  if (!["f64", "f32", "f16", "bf16"].includes(dtype)) {
    const values = Array.from(data, Number);
    const sum = values.reduce((total, value) => total + value, 0);
    return textError([...values.slice(0, 8), sum].map(String), expected);
  }
  return floatError(floatsOf(stored), expected);
}

/** 0 if integers, written as decimals, are equal to the expected ones, else 1. */
function textError(actual: readonly string[], expected: Json): number {
  const first = expected.get("first8").value;
  const wanted = [...(Array.isArray(first) ? first : []), expected.get("sum").value].map((value) =>
    String(typeof value === "boolean" ? Number(value) : value),
  );
  return String(actual) === String(wanted) ? 0 : 1;
}

/** Largest relative error of the first values and of the sum. */
export function floatError(values: ArrayLike<number>, expected: Json): number {
  let sum = 0;
  let magnitude = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i] ?? 0;
    magnitude += Math.abs(values[i] ?? 0);
  }
  const first = expected.get("first8").numbers();
  const head = Array.from({ length: Math.min(8, values.length) }, (_, i) => values[i] ?? 0);
  const stated = expected.get("sum").number();
  const difference = Object.is(sum, stated) ? 0 : Math.abs(sum - stated) / Math.max(magnitude, 1e-6);
  return Math.max(relativeError(head, first), Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
}

function floatsOf(stored: HostTensor): ArrayLike<number> {
  const { data, dtype } = stored;
  if (data instanceof Uint16Array) return dtype === "bf16" ? bf16ToF32(data) : f16ToF32(data);
  return Float64Array.from(data, Number);
}
