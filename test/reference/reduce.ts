/** Reduces `x` over axes with a plain loop; `combine` starts from `first`. */
export function reduceReference(
  x: ArrayLike<number>,
  shape: readonly number[],
  axes: readonly number[],
  first: number,
  combine: (total: number, value: number) => number,
): Float64Array {
  const kept = shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
  const y = new Float64Array(kept.reduce((product, length) => product * length, 1)).fill(first);
  for (let index = 0; index < x.length; index++) {
    let rest = index;
    let offset = 0;
    let stride = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const length = shape[axis] ?? 1;
      if (!axes.includes(axis)) {
        offset += (rest % length) * stride;
        stride *= length;
      }
      rest = Math.floor(rest / length);
    }
    y[offset] = combine(y[offset] ?? first, x[index] ?? Number.NaN);
  }
  return y;
}
