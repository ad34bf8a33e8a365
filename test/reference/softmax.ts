/** Soft-max of each row in float64. */
export function softmaxReference(x: ArrayLike<number>, columns: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += columns) {
    const row = Array.from({ length: columns }, (_, c) => x[first + c] ?? Number.NaN);
    const largest = Math.max(...row);
    const powers = row.map((v) => Math.exp(v - largest));
    const sum = powers.reduce((total, v) => total + v, 0);
    for (const [c, v] of powers.entries()) y[first + c] = v / sum;
  }
  return y;
}

/** Cross-entropy of each row against a smoothed one-hot target, in float64. */
export function crossEntropyReference(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  columns: number,
  smoothing: number,
): Float64Array {
  return Float64Array.from({ length: targets.length }, (_, r) => {
    const row = Array.from({ length: columns }, (_, c) => logits[r * columns + c] ?? Number.NaN);
    const largest = Math.max(...row);
    const logSum = largest + Math.log(row.reduce((total, v) => total + Math.exp(v - largest), 0));
    return row.reduce((loss, v, c) => {
      const wanted = (c === targets[r] ? 1 - smoothing : 0) + smoothing / columns;
      return loss + wanted * (logSum - v);
    }, 0);
  });
}

/** Cross-entropy of each row against weights of the classes, in float64. */
export function softCrossEntropyReference(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  columns: number,
): Float64Array {
  return Float64Array.from({ length: logits.length / columns }, (_, r) => {
    const row = Array.from({ length: columns }, (_, c) => logits[r * columns + c] ?? Number.NaN);
    const largest = Math.max(...row);
    const logSum = Math.log(row.reduce((total, v) => total + Math.exp(v - largest), 0));
    return row.reduce((loss, v, c) => loss + (targets[r * columns + c] ?? 0) * (largest - v + logSum), 0);
  });
}
