import type { Tensor } from "../core/tensor.ts";
import { binary, mul, type Operand, sub } from "./binary.ts";
import { cast } from "./cast.ts";
import { equal, greaterEqual, lessEqual } from "./compare.ts";
import { log } from "./unary.ts";
import { where } from "./where.ts";

/**
 * a to the power b as in PyTorch: a negative base with an integer exponent is a number, with another one NaN; `pow(a, 0)` and
 * `pow(1, b)` are 1 also for NaN, which passes elsewhere; zeros and infinities as in the C library.
 * Broadcasting and errors as {@link mul}.
 */
export function pow(a: Operand, b: Operand): Tensor {
  // da: b a^(b-1), 0 for b = 0; db: y ln a, 0 where y is 0 around a = 0
  return binary("pow", a, b, (dy, y) => [() => mul(dy, baseSlope(a, b)), () => mul(dy, exponentSlope(a, b, y))]);
}

function baseSlope(a: Operand, b: Operand): Operand {
  if (typeof b === "number") return b === 0 ? 0 : mul(pow(a, b - 1), b);
  const slope = mul(pow(a, sub(b, 1)), b);
  return where(equal(b, 0), 0, slope);
}

function exponentSlope(a: Operand, b: Operand, y: Tensor): Operand {
  if (typeof a === "number")
    return a === 0 ? where(lessEqual(0, b), 0, mul(y, Number.NEGATIVE_INFINITY)) : mul(y, Math.log(a));
  const flat = mul(cast(equal(a, 0), y.dtype), cast(greaterEqual(b, 0), y.dtype));
  return where(cast(flat, "u32"), 0, mul(y, log(a)));
}
