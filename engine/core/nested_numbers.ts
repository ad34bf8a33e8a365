import { ShapeError } from "./errors.ts";

/** A list or typed array of numbers, or lists of such lists. */
export type NestedNumbers = ArrayLike<number | bigint> | readonly NestedNumbers[];

/**
 * Lists within lists as one list, and the shape that they have; anything else as it is.
 *
 * @throws ShapeError where lists beside each other differ in length or depth
 */
export function flattened(data: NestedNumbers, what: string): { values: ArrayLike<number | bigint>; shape: number[] } {
  if (!isNested(data)) return { values: data, shape: [data.length] };
  const parts = data.map((part) => flattened(part, what));
  const [first] = parts;
  const inner = first?.shape ?? [];
  const odd = parts.findIndex(({ shape }) => shape.join() !== inner.join());
  if (odd >= 0) {
    throw new ShapeError(
      `${what}: list ${odd} has the shape [${parts[odd]?.shape.join(", ")}] and list 0 [${inner.join(", ")}]; expected equal ones`,
    );
  }
  const numbers = parts.flatMap(({ values }) => Array.from(values));
  // Bits of f16 stay bits of f16, so that nobody takes them for numbers.
  const isHalf = parts.every(({ values }) => values instanceof Uint16Array);
  return { values: isHalf ? Uint16Array.from(numbers, Number) : numbers, shape: [parts.length, ...inner] };
}

function isNested(data: NestedNumbers): data is readonly NestedNumbers[] {
  if (!Array.isArray(data)) return false;
  const lists = data.filter((part) => Array.isArray(part) || ArrayBuffer.isView(part)).length;
  return lists > 0 && lists === data.length;
}
