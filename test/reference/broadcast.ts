/** Values of `data` repeated to `result` by the rule of numpy. */
export function broadcastTo(
  data: ArrayLike<number>,
  shape: readonly number[],
  result: readonly number[],
): Float64Array {
  const size = result.reduce((product, length) => product * length, 1);
  return Float64Array.from({ length: size }, (_, index) => {
    let rest = index;
    let offset = 0;
    let stride = 1;
    for (let axis = result.length - 1; axis >= 0; axis--) {
      const length = result[axis] ?? 1;
      const own = shape[axis - result.length + shape.length] ?? 1;
      if (own !== 1) offset += (rest % length) * stride;
      stride *= own;
      rest = Math.floor(rest / length);
    }
    return data[offset] ?? Number.NaN;
  });
}
