import { DataFormatError } from "../data/index.ts";

/** One line of a list of a task. */
export interface VtabLine {
  /** As written: relative to the folder of the task. */
  readonly path: string;
  /** Class, counted from 0. */
  readonly label: number;
  /** Its number in the list, from 1. */
  readonly line: number;
}

/** Labels are sizes of heads: one beyond this is a number of something else. */
const highestLabel = 2 ** 16 - 1;

/**
 * Reads lines `file label`, as the lists of VTAB-1k have them (RepAdapter, vtab1k-pytorch).
 *
 * @param name - what messages call the list
 * @throws DataFormatError naming the first line that cannot be read, or for a list without any
 */
export function parseVtabList(text: string, name: string): VtabLine[] {
  const lines = text
    .split(/\r?\n/)
    .map((line, i) => ({ text: line.trim(), line: i + 1 }))
    .filter((one) => one.text !== "")
    .map(({ text, line }) => parsedLine(text, line, name));
  if (lines.length === 0) throw new DataFormatError(`vtab: ${name} is empty; write lines of file and label`);
  return lines;
}

function parsedLine(text: string, line: number, name: string): VtabLine {
  const { path, label } = /^(?<path>.*\S)\s+(?<label>\S+)$/.exec(text)?.groups ?? {};
  if (path === undefined || label === undefined)
    throw new DataFormatError(
      `vtab: line ${line} of ${name} has no label (${text}); write file and label, apart by a space`,
    );
  const number = Number(label);
  if (!/^(0|[1-9]\d*)$/.test(label) || number > highestLabel)
    throw new DataFormatError(
      `vtab: line ${line} of ${name} has the label ${label}, expected a whole number 0 … ${highestLabel}; classes are counted from 0`,
    );
  return { path, label: number, line };
}
