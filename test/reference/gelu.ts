/** erf in float64: its power series below 2.5, the continued fraction of erfc above (Abramowitz & Stegun 7.1.6 and 7.1.14). */
export function erf(x: number): number {
  const u = Math.abs(x);
  if (u < 2.5) {
    let term = u;
    let sum = u;
    for (let k = 1; term > 1e-18 * sum; k++) {
      term *= (2 * u * u) / (2 * k + 1);
      sum += term;
    }
    return (Math.sign(x) * 2 * Math.exp(-u * u) * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let k = 80; k > 0; k--) fraction = k / 2 / (u + fraction);
  return Math.sign(x) * (1 - Math.exp(-u * u) / Math.sqrt(Math.PI) / (u + fraction));
}

export function geluReference(x: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)));
}

export function geluSlope(v: number): number {
  return 0.5 * (1 + erf(v / Math.SQRT2)) + (v * Math.exp((-v * v) / 2)) / Math.sqrt(2 * Math.PI);
}
