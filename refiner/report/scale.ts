/** Round numbers from the first at or below `least` to the last at or above `most`. */
export interface Ticks {
  readonly from: number;
  readonly to: number;
  readonly values: readonly number[];
}

/** About `count` round tick values (1, 2 or 5 times a power of ten apart) around a range. */
export function ticks(least: number, most: number, count = 5): Ticks {
  const range = most > least ? most - least : Math.abs(least) || 1;
  const start = most > least ? least : least - range / 2;
  const raw = range / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw * (1 - 1e-9)) ?? 10) * power;
  const first = Math.floor(start / step + 1e-9);
  const last = Math.ceil((start + range) / step - 1e-9);
  const values = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  return { from: values[0] ?? least, to: values.at(-1) ?? most, values };
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** At most `count` points: neighbours are averaged, so that a long run's curve stays small and readable. Gaps are dropped. */
export function thinned(points: readonly Point[], count = 200): Point[] {
  const finite = points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  if (finite.length <= count) return finite;
  return Array.from({ length: count }, (_, bucket) => {
    const from = Math.floor((bucket * finite.length) / count);
    const part = finite.slice(from, Math.floor(((bucket + 1) * finite.length) / count));
    const mean = (of: (point: Point) => number): number =>
      part.reduce((sum, point) => sum + of(point) / part.length, 0);
    return { x: mean(({ x }) => x), y: mean(({ y }) => y) };
  });
}
