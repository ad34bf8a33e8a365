/**
 * Uniform numbers in [-scale, scale) from a 32-bit xorshift: every process builds the same inputs, so none has to be sent.
 *
 * @param {number} length
 * @param {number} seed - any integer but 0
 * @param {number} scale
 */
export function uniform(length, seed, scale = 1) {
  const values = new Float32Array(length);
  let state = Math.imul(seed, 0x9e3779b9) | 1; // golden ratio: neighbouring seeds start far apart; | 1 keeps it off 0
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = scale * (state / 2 ** 31);
  }
  return values;
}

/** A named input of a row. */
export function input(shape, seed, scale = 1) {
  return { shape, data: uniform(product(shape), seed, scale) };
}

/** Number of elements of a shape. */
export function product(shape) {
  return shape.reduce((total, size) => total * size, 1);
}
