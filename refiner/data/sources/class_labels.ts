import { naturalOrder } from "./natural_order.ts";

/** A class as a data set states it: its text, or undefined where there is none. Two are equal only if the texts are. */
export type StatedClass = string | undefined;

export interface ClassLabels {
  /** One per image, -1 where none is stated. */
  readonly labels: Int32Array;
  /** Names by label; undefined where the labels are the stated numbers themselves. */
  readonly classNames?: readonly string[];
}

/** Numbers below this are labels as they stand: enough for every data set that counts its classes, and small as a table. */
const mostNumbers = 2 ** 16;

/**
 * Turns stated classes into labels. Where all are plain numbers from 0 on (`7`, not `007` or `7.0`) and small, these are the labels;
 * else the names are numbered in natural order. `-1` and empty texts mean that an image has no label.
 */
export function classLabels(stated: readonly StatedClass[]): ClassLabels {
  const texts = stated.map((text) => (isNoLabel(text) ? undefined : text));
  const distinct = [...new Set(texts.filter((text) => text !== undefined))];
  if (distinct.every(isPlainNumber))
    return { labels: Int32Array.from(texts, (text) => (text === undefined ? -1 : Number(text))) };
  const classNames = distinct.sort(naturalOrder);
  const labelOf = new Map(classNames.map((name, label) => [name, label]));
  return {
    labels: Int32Array.from(texts, (text) => (text === undefined ? -1 : (labelOf.get(text) ?? -1))),
    classNames,
  };
}

/** Whether a data set says with this text that an image has no label. */
export function isNoLabel(text: StatedClass): boolean {
  return text === undefined || text === "" || text === "-1";
}

function isPlainNumber(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) < mostNumbers;
}

/**
 * The text of a class that JSON states.
 *
 * @returns undefined for null, which means that there is none; `refused` with the reason for what is no class
 */
export function statedClass(value: unknown): { readonly text: StatedClass } | { readonly refused: string } {
  if (value === null || value === undefined) return { text: undefined };
  if (typeof value === "string") return { text: value.trim() };
  if (typeof value === "number" && Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value)))
    return { text: String(value) };
  if (typeof value === "number") return { refused: "a number of more digits than JSON keeps; write it in quotes" };
  const what = Array.isArray(value) ? "a list" : typeof value === "boolean" ? String(value) : "an object";
  return { refused: `${what}; a class is one name or number` };
}
