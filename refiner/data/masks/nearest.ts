import type { LabelMap } from "./label_map.ts";

/**
 * Where each of `output` samples is read from, of `input` ones: ⌊i · input / output⌋ with the quotient and the product in f32, as
 * PyTorch's `interpolate(mode="nearest")` has it. Exact multiples may therefore fall one sample short, and do so there, too.
 */
export function nearestSources(output: number, input: number): Uint32Array {
  const scale = Math.fround(input / output);
  return Uint32Array.from({ length: output }, (_, i) => {
    if (output === input) return i;
    return Math.min(input - 1, Math.floor(Math.fround(i * scale)));
  });
}

/** Labels of another size; no label is mixed with another. */
export function resizeLabels(map: LabelMap, height: number, width: number): LabelMap {
  const [rows, columns] = [nearestSources(height, map.height), nearestSources(width, map.width)];
  const data = new Int32Array(height * width);
  for (let y = 0; y < height; y++) {
    const from = (rows[y] ?? 0) * map.width;
    for (let x = 0; x < width; x++) data[y * width + x] = map.data[from + (columns[x] ?? 0)] ?? 0;
  }
  return { width, height, data };
}
