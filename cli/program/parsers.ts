import { InvalidArgumentError } from "commander";

/** Parses a whole number of at least `least`. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`expected a whole number ${range}.`);
    }
    return value;
  };
}

/** Numbers of a list at most. */
const longestList = 1000;

/** Parses different whole numbers from 1 on with commas; 2..5 stands for 2,3,4,5. */
export function numberList(text: string): number[] {
  const parts = text.split(",").map((part) => part.split("..").map(Number));
  const isList = /^\d+(\.\.\d+)?(,\d+(\.\.\d+)?)*$/.test(text);
  const lengths = parts.map(([first = 0, last = first]) => last - first + 1);
  const length = lengths.reduce((sum, one) => sum + one, 0);
  const isFit = isList && lengths.every((one) => one > 0) && length <= longestList;
  const values = isFit
    ? parts.flatMap(([first = 0], i) => Array.from({ length: lengths[i] ?? 0 }, (_, step) => first + step))
    : [];
  if (!isFit || values.some((value) => value < 1) || new Set(values).size < values.length)
    throw new InvalidArgumentError(
      `expected up to ${longestList} different whole numbers from 1 on with commas, such as 1,2,5 or 2..20.`,
    );
  return values;
}

/** Parses a block of an encoder: its number from 0, or `last` for the final output. */
export function block(text: string): number | "last" {
  if (text === "last") return "last";
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("expected the number of a block, from 0 on, or last.");
  return Number(text);
}

/** Parses a share from 0 to 1. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError("expected a share from 0 to 1, such as 0.01.");
  }
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value))
    throw new InvalidArgumentError("expected a number above 0, such as 0.07.");
  return value;
}

/** Parses an epsilon: above 0, below 1. */
export function epsilon(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0 && value < 1))
    throw new InvalidArgumentError("expected a number above 0 and below 1, such as 1e-6.");
  return value;
}

/** Parses a resolution such as 224x448 (height first). */
export function resolution(text: string): readonly [number, number] {
  const [, height = "", width = ""] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text) ?? [];
  if (height === "") throw new InvalidArgumentError("expected height x width in pixels, such as 224x448.");
  return [Number(height), Number(width)];
}

/** Parses a number of decoder threads. */
export function workers(text: string): number | "auto" {
  return text === "auto" ? text : wholeNumber(0, 256)(text);
}

/** Parses the bandwidth of a connection, in bytes per second: 100Gb/s, 12.5GB/s. */
export function bandwidth(text: string): number {
  const [, number = "", prefix = "", unit] = /^([\d.]+) ?([kMGT]?)(b|bit|B)\/s$/.exec(text) ?? [];
  const value = Number(number) * 1000 ** " kMGT".indexOf(prefix || " ") * (unit === "B" ? 1 : 1 / 8);
  if (number === "" || !(value > 0)) throw new InvalidArgumentError("expected a bandwidth, such as 100Gb/s or 12GB/s.");
  return value;
}

/** Parses a size of memory in bytes: 24GB, 512MiB, 1000000. */
export function memorySize(text: string): number {
  const [, number = "", unit = ""] = /^([\d.]+)\s*([kmgt]?i?b)?$/i.exec(text.trim()) ?? [];
  const power = "bkmgt".indexOf((unit.charAt(0) || "b").toLowerCase());
  const bytes = Number(number) * (unit.toLowerCase().includes("i") ? 1024 : 1000) ** power;
  if (number === "" || !(bytes > 0)) throw new InvalidArgumentError("expected a size of memory, such as 24GB.");
  return bytes;
}
