import type { Token } from "./lexer.ts";
import type { Literal, ScalarName } from "./syntax.ts";
import { scalar } from "./types.ts";

/** The value of a number: decimal or hexadecimal, whole or with a fraction, with or without suffix. */
export function parseNumber({ text, start, end, line }: Token): Literal {
  const isHex = /^0x/i.test(text);
  const suffix = isHex ? (/[iu]$/.exec(text) ?? /p.*([fh])$/i.exec(text))?.at(-1) : /[iufh]$/.exec(text)?.[0];
  const digits = suffix ? text.slice(0, -1) : text;
  const isFraction = isHex ? /[.p]/i.test(digits) : /[.e]/i.test(digits);
  const value = isHex && isFraction ? hexFraction(digits) : Number(digits);
  const types: Readonly<Record<string, ScalarName>> = { i: "i32", u: "u32", f: "f32", h: "f16" };
  const type = scalar(suffix ? (types[suffix] ?? "f32") : isFraction ? "abstract-float" : "abstract-int");
  return { kind: "literal", value: type.name === "f32" ? Math.fround(value) : value, type, start, end, line };
}

/** `0x1.8p-3`. */
function hexFraction(digits: string): number {
  const [mantissa = "", exponent = "0"] = digits.slice(2).split(/p/i);
  const [before = "", after = ""] = mantissa.split(".");
  return Number(`0x${before}${after || ""}`) * 2 ** (Number(exponent) - 4 * after.length);
}
