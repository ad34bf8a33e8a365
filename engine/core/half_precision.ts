// IEEE 754 binary16 (1 + 5 + 10 bits) and bfloat16 (the upper half of binary32), as bit patterns.

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The binary32 bit pattern of the same number, or of a NaN with the same payload. */
function wordFromF16(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const exponent = bits & 0x7c00;
  const mantissa = bits & 0x3ff;
  if (exponent === 0x7c00) return sign | 0x7f800000 | (mantissa << 13); // infinity or NaN
  if (exponent !== 0) return sign | (((bits & 0x7fff) << 13) + (112 << 23)); // the exponent rebased by 127 - 15
  float[0] = mantissa * 2 ** -24; // zero or subnormal
  return sign | (word[0] ?? 0);
}

/** The number that a binary16 bit pattern stands for; exact. */
export function f16ToNumber(bits: number): number {
  word[0] = wordFromF16(bits);
  return float[0] ?? 0;
}

/** The binary16 bit pattern nearest to a binary32 bit pattern, ties to even. */
function f16FromWord(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff); // NaN, made quiet
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // from 65520 on, half way past the largest, infinity is nearest
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent by 15 - 127, drop 13 bits; a carry out of the mantissa rightly raises the exponent.
    const rebased = magnitude - (112 << 23);
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign; // up to 2^-25, half of the smallest: zero is nearest, or the even one
  // Subnormal: the mantissa with its hidden bit, shifted so that its unit is 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

/** The bfloat16 bit pattern nearest to a binary32 bit pattern, ties to even. */
function bf16FromWord(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // NaN, made quiet
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The binary16 bit pattern of a number that was rounded to binary32 first. */
export function numberToF16(value: number): number {
  float[0] = value;
  return f16FromWord(word[0] ?? 0);
}

/** The bfloat16 bit pattern of a number that was rounded to binary32 first. */
export function numberToBf16(value: number): number {
  float[0] = value;
  return bf16FromWord(word[0] ?? 0);
}

/** The number that a bfloat16 bit pattern stands for; exact. */
export function bf16ToNumber(bits: number): number {
  word[0] = bits << 16;
  return float[0] ?? 0;
}

/** Binary16 bit patterns as floats; exact. */
export function f16ToF32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = wordFromF16(bits[i] ?? 0);
  return new Float32Array(words.buffer);
}

/** Floats as the nearest binary16 bit patterns, ties to even; from 65520 on infinity. */
export function f32ToF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return patternsOf(values, f16FromWord);
}

/** Bfloat16 bit patterns as floats; exact, NaN payloads included. */
export function bf16ToF32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] ?? 0) << 16;
  return new Float32Array(words.buffer);
}

/** Floats as the nearest bfloat16 bit patterns, ties to even. */
export function f32ToBf16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return patternsOf(values, bf16FromWord);
}

/** Loops, because `from` with a function collects everything in a list first. */
function patternsOf(values: Float32Array, patternOf: (bits: number) => number): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const patterns = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) patterns[i] = patternOf(words[i] ?? 0);
  return patterns;
}
