/** A class as a data set states it: a name, or a number counted from 0. */
export type StatedClass = string | number | undefined;

export interface ClassLabels {
  /** One per image, -1 where none is stated. */
  readonly labels: Int32Array;
  readonly classNames?: readonly string[];
}

/**
 * Turns stated classes into labels. Where all are whole numbers these are the labels; else the names, sorted by
 * code unit (the same on every machine and in every locale), are numbered.
 */
export function classLabels(stated: readonly StatedClass[]): ClassLabels {
  const given = stated.filter((value) => value !== undefined);
  if (given.every(isNumber)) {
    return { labels: Int32Array.from(stated, (value) => (value === undefined ? -1 : Number(value))) };
  }
  const classNames = [...new Set(given.map(String))].sort();
  const labelOf = new Map(classNames.map((name, label) => [name, label]));
  return { labels: Int32Array.from(stated, (value) => labelOf.get(String(value)) ?? -1), classNames };
}

function isNumber(value: string | number): boolean {
  return typeof value === "number" ? Number.isInteger(value) && value >= 0 : /^\d{1,9}$/.test(value);
}
