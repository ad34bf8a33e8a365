import { CorruptFileError } from "../errors.ts";
import { exactInteger } from "./pickle_cursor.ts";

const specialFloats: ReadonlyMap<string, number> = new Map([
  ["inf", Number.POSITIVE_INFINITY],
  ["-inf", Number.NEGATIVE_INFINITY],
  ["nan", Number.NaN],
]);

function notA(what: string, line: string): CorruptFileError {
  return new CorruptFileError(`unpickle: ${JSON.stringify(line.slice(0, 40))} is not ${what}; the file is damaged`);
}

/** An integer line of protocols 0 and 1, where `00` and `01` are booleans and longs end in `L`. */
export function parseInteger(line: string): boolean | number | bigint {
  if (line === "00" || line === "01") return line === "01";
  // 1024 digits: far beyond any counter, and quick to convert.
  if (!/^-?\d{1,1024}L?$/.test(line)) throw notA("an integer", line);
  return exactInteger(BigInt(line.replace("L", "")));
}

/** A float line as Python's `repr` writes it. */
export function parseFloat64(line: string): number {
  const special = specialFloats.get(line);
  if (special !== undefined) return special;
  if (!/^[-+]?\d+(\.\d*)?(e[-+]?\d+)?$/.test(line)) throw notA("a float", line);
  return Number(line);
}

/** A memo index line. */
export function parseIndex(line: string): number {
  if (!/^\d{1,15}$/.test(line)) throw notA("an index", line);
  return Number(line);
}

/** A text line of protocols 0 and 1: only a few characters are escaped, as `\uXXXX` or `\UXXXXXXXX`. */
export function unescapeUnicode(line: string): string {
  return line.replace(/\\u([0-9a-fA-F]{4})|\\U(0010[0-9a-fA-F]{4}|000[0-9a-fA-F]{5})/g, (_, short, long) =>
    String.fromCodePoint(Number.parseInt(short ?? long, 16)),
  );
}

const escapes: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["t", "\t"],
  ["r", "\r"],
]);

/** A Python 2 string line: in quotes, with escapes. */
export function unquote(line: string): string {
  const quoted = /^(['"])(.*)\1$/s.exec(line);
  if (!quoted) throw notA("quoted text", line);
  return (quoted[2] ?? "").replace(/\\(x[0-9a-fA-F]{2}|.)/gs, (_, code: string) =>
    code.length > 1 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (escapes.get(code) ?? code),
  );
}
