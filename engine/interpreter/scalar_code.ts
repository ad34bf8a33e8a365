import type { BinaryOperator, ScalarName } from "../wgsl/syntax.ts";

// JavaScript texts of scalar operations. F is Math.fround: a sum, difference, product, quotient or root of two f32 that is formed in f64
// and rounded once more has the bits of the f32 operation (Figueroa, "When is double rounding innocuous?", 1995). I is Math.imul.

const comparisons: Readonly<Partial<Record<BinaryOperator, string>>> = {
  "==": "===",
  "!=": "!==",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
};

/** `a operator b` of two scalars of a type. */
export function binaryCode(operator: BinaryOperator, type: ScalarName, a: string, b: string): string {
  const comparison = comparisons[operator];
  if (comparison) return `(${a}${comparison}${b})`;
  if (operator === "&&" || operator === "||") return `(${a}${operator}${b})`;
  switch (type) {
    case "bool":
      return operator === "^" ? `(${a}!==${b})` : `((${a}${operator}${b})===1)`;
    case "f32":
      return `F(${a}${operator}${b})`;
    case "abstract-int":
      return operator === "/" ? `Math.trunc(${a}/${b})` : `(${a}${operator}${b})`;
    case "i32":
      return signedCode(operator, a, b);
    case "u32":
      return unsignedCode(operator, a, b);
    default:
      return `(${a}${operator}${b})`;
  }
}

function signedCode(operator: BinaryOperator, a: string, b: string): string {
  if (operator === "*") return `I(${a},${b})`;
  if (operator === "/") return `R.divideSigned(${a},${b})`;
  if (operator === "%") return `R.remainderSigned(${a},${b})`;
  return `(${a}${operator}${b}|0)`;
}

function unsignedCode(operator: BinaryOperator, a: string, b: string): string {
  if (operator === "*") return `(I(${a},${b})>>>0)`;
  if (operator === "/") return `R.divideUnsigned(${a},${b})`;
  if (operator === "%") return `R.remainderUnsigned(${a},${b})`;
  if (operator === ">>") return `(${a}>>>${b})`;
  return `((${a}${operator}${b})>>>0)`;
}

/** A scalar as one of another type, by value. */
export function convertCode(from: ScalarName, to: ScalarName, x: string): string {
  if (from === to) return x;
  if (from === "bool") return `(${x}?1:0)`;
  switch (to) {
    case "bool":
      return `(${x}!==0)`;
    case "f32":
      return `F(${x})`;
    case "i32":
      return from === "u32" || from === "abstract-int" ? `(${x}|0)` : `R.toSigned(${x})`;
    case "u32":
      return from === "i32" || from === "abstract-int" ? `(${x}>>>0)` : `R.toUnsigned(${x})`;
    default:
      return x;
  }
}

/** The bits of a scalar as another type of 32 bits. */
export function bitcastCode(from: ScalarName, to: ScalarName, x: string): string {
  if (from === to) return x;
  if (from === "f32") return to === "u32" ? `R.bitsOf(${x})` : `(R.bitsOf(${x})|0)`;
  if (to === "f32") return `R.ofBits(${x})`;
  return to === "u32" ? `(${x}>>>0)` : `(${x}|0)`;
}

/** An expression that says which operation a kernel came to that has no one result on all adapters. */
export function refusal(what: string, line: number): string {
  return `R.refuse(${JSON.stringify(what)},${line})`;
}

/** Scalar builtins whose results are the same everywhere, by name. */
const exact: Readonly<Record<string, (type: ScalarName, ...args: string[]) => string>> = {
  abs: (type, x) => (type === "i32" ? `(Math.abs(${x})|0)` : `Math.abs(${x})`),
  sign: (_, x) => `R.sign(${x})`,
  min: (_, a, b) => `R.min(${a},${b})`,
  max: (_, a, b) => `R.max(${a},${b})`,
  clamp: (_, x, low, high) => `R.clamp(${x},${low},${high})`,
  saturate: (_, x) => `R.clamp(${x},0,1)`,
  floor: (_, x) => `Math.floor(${x})`,
  ceil: (_, x) => `Math.ceil(${x})`,
  trunc: (_, x) => `Math.trunc(${x})`,
  round: (_, x) => `R.roundEven(${x})`,
  step: (_, edge, x) => `(${edge}<=${x}?1:0)`,
  sqrt: (_, x) => `F(Math.sqrt(${x}))`,
  select: (_, no, yes, condition) => `(${condition}?${yes}:${no})`,
  ldexp: (_, x, exponent) => `F(${x}*2**${exponent})`,
  countOneBits: (type, x) => signed(type, `R.countOnes(${x})`),
  countLeadingZeros: (type, x) => signed(type, `Math.clz32(${x})`),
  countTrailingZeros: (type, x) => signed(type, `R.trailingZeros(${x})`),
  firstLeadingBit: (type, x) => signed(type, `R.firstLeading${type === "i32" ? "Signed" : ""}(${x})`),
  firstTrailingBit: (type, x) => signed(type, `R.firstTrailing(${x})`),
  reverseBits: (type, x) => signed(type, `R.reverse(${x})`),
};

function signed(type: ScalarName, code: string): string {
  return type === "u32" ? `(${code}>>>0)` : `(${code}|0)`;
}

/** One whose result differs between adapters is refused where a kernel comes to it: many hold it for other operations. */
export function builtinCode(name: string, type: ScalarName, args: readonly string[], line: number): string {
  const code = Object.hasOwn(exact, name) ? exact[name] : undefined;
  if (code) return code(type, ...args);
  return refusal(name, line);
}
