import { boxBlurFor } from "../../../../refiner/data/views/box_blur.ts";
import { type JitterStep, type ViewParameters, viewWords } from "../../../../refiner/data/views/index.ts";

/** Reads a row of a parameter table; the standard deviation is found again from the weight of the box. */
export function parametersOf(table: Uint32Array, row: number): ViewParameters {
  const words = table.slice(row * viewWords, (row + 1) * viewWords);
  const floats = new Float32Array(words.buffer);
  const at = (index: number): number => words[index] ?? 0;
  const names = ["brightness", "contrast", "saturation", "hue"] as const;
  const jitter = [0, 8, 16, 24].flatMap((bit): JitterStep[] => {
    const operation = names[((at(12) >> bit) & 255) - 1];
    if (!operation) return [];
    return [[operation, operation === "hue" ? (at(13) + 0.5) / 255 : (floats[8 + names.indexOf(operation)] ?? 0)]];
  });
  return {
    crop: { left: at(0), top: at(1), width: at(2), height: at(3) },
    flip: at(19) === 1,
    jitter,
    sigmaPixels: at(17) > 0 ? sigmaOf(at(17), at(16)) : 0,
    greyscale: at(14) === 1,
    solariseFrom: at(15),
  };
}

/** Bisection: the inner weight falls as the standard deviation grows. */
function sigmaOf(innerWeight: number, radius: number): number {
  let [low, high] = [0, 7];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    const box = boxBlurFor(middle);
    if (box.radius < radius || (box.radius === radius && box.innerWeight > innerWeight)) low = middle;
    else high = middle;
  }
  return high;
}
