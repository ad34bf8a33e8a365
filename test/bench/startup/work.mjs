// The product that both sides of the startup bench compute.
import { writeSync } from "node:fs";

export const [rows, depth, columns] = [256, 256, 256];

export function left() {
  return Float32Array.from({ length: rows * depth }, (_, i) => Math.sin(i));
}

export function right() {
  return Float32Array.from({ length: depth * columns }, (_, i) => Math.cos(i));
}

/** Checks one element of the product and says that it is there; the clock of the parent process stops. */
export function reportFirst(y) {
  const [a, b, at] = [left(), right(), 7 * columns + 5];
  let sum = 0;
  for (let k = 0; k < depth; k++) sum += a[7 * depth + k] * b[k * columns + 5];
  const isRight = Math.abs(y[at] - sum) < 1e-4; // 256 products of numbers up to 1, in f32
  writeSync(1, isRight ? "done" : "wrong");
  process.exit(isRight ? 0 : 1); // Dawn keeps the process alive
}
