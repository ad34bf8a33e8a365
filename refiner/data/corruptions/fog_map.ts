/**
 * A random landscape on the scale 0 … 1 by midpoint displacement (diamond and square, Fournier et al., CACM 1982), periodic at
 * its borders.
 *
 * @param decay - the displacement's divisor from step to step
 * @returns `[side, side]`, the corner of a map whose side is a power of two
 */
export function fogMap(side: number, decay: number, uniform: () => number): Float64Array {
  let size = 1;
  while (size < side) size *= 2;
  const map = new Float64Array(size * size);
  let reach = 100;
  for (let step = size; step >= 2; step /= 2) {
    displace(map, size, step / 2, (sum) => sum / 4 + reach * (2 * uniform() - 1) * reach);
    reach /= decay;
  }
  return corner(map, size, side);
}

/** One round: the middles of squares from their corners, then the middles of their edges from the four points around. */
function displace(map: Float64Array, size: number, half: number, displaced: (sum: number) => number): void {
  const at = (y: number, x: number): number => map[((y + size) % size) * size + ((x + size) % size)] ?? 0;
  for (let y = half; y < size; y += 2 * half) {
    for (let x = half; x < size; x += 2 * half) {
      const [above, below] = [y - half, y + half];
      map[y * size + x] = displaced(
        at(above, x - half) + at(above, x + half) + at(below, x - half) + at(below, x + half),
      );
    }
  }
  for (let y = 0; y < size; y += half) {
    for (let x = (y / half) % 2 === 0 ? half : 0; x < size; x += 2 * half)
      map[y * size + x] = displaced(at(y - half, x) + at(y + half, x) + at(y, x - half) + at(y, x + half));
  }
}

/** Stretched so that the whole map spans 0 … 1. */
function corner(map: Float64Array, size: number, side: number): Float64Array {
  const least = map.reduce((low, value) => Math.min(low, value), Number.POSITIVE_INFINITY);
  const most = map.reduce((high, value) => Math.max(high, value), Number.NEGATIVE_INFINITY);
  return Float64Array.from({ length: side * side }, (_, i) => {
    const value = map[Math.floor(i / side) * size + (i % side)] ?? 0;
    return most > least ? (value - least) / (most - least) : 0;
  });
}
