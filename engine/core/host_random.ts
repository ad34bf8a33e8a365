import { OptionError } from "./errors.ts";

const multipliers = [0xd2511f53, 0xcd9e8d57] as const; // Salmon et al. 2011, table 2
const roundKeys = [0x9e3779b9, 0xbb67ae85] as const; // golden ratio and √3 - 1 in 32 bits
const rounds = 10;

/** Four 32-bit words. */
export type PhiloxBlock = readonly [number, number, number, number];

/** What a sequence of random numbers depends on, and all that it depends on. */
export interface RandomKey {
  /** 0 … 2⁵³ - 1. */
  readonly seed: number;
  /** Names an independent use of the seed, such as `"flip"`; or its number, 0 … 2³² - 1. */
  readonly purpose: string | number;
  /** Position in time, such as the number of completed updates; taken modulo 2³². Default 0. */
  readonly step?: number;
}

/**
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a bijection of the counter
 * that looks random. `shaders/random.wgsl` computes the same.
 */
export function philox(counter: PhiloxBlock, key: readonly [number, number]): PhiloxBlock {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < rounds; round++) {
    const left = multiplyHigh(multipliers[0], c0);
    const right = multiplyHigh(multipliers[1], c2);
    const next1 = Math.imul(multipliers[1], c2) >>> 0;
    const next3 = Math.imul(multipliers[0], c0) >>> 0;
    c0 = (right ^ c1 ^ k0) >>> 0;
    c2 = (left ^ c3 ^ k1) >>> 0;
    c1 = next1;
    c3 = next3;
    k0 = (k0 + roundKeys[0]) >>> 0;
    k1 = (k1 + roundKeys[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Upper half of a 64-bit product; the partial sums stay below 2⁵³, where doubles count exactly. */
function multiplyHigh(a: number, b: number): number {
  const high = a >>> 16;
  const low = a & 0xffff;
  const middle = high * (b & 0xffff) + Math.floor((low * (b & 0xffff)) / 0x10000);
  return (high * (b >>> 16) + Math.floor((middle + low * (b >>> 16)) / 0x10000)) >>> 0;
}

/** Number of a purpose: FNV-1a of its UTF-16 units (32 bits). @throws OptionError for a number outside 0 … 2³² - 1 */
export function purposeNumber(purpose: string | number): number {
  if (typeof purpose === "number") {
    if (!Number.isInteger(purpose) || purpose < 0 || purpose > 0xffffffff)
      throw new OptionError(`random: the purpose ${purpose} is not an integer in 0 … 2³² - 1; use a name instead`);
    return purpose;
  }
  let hash = 0x811c9dc5; // FNV offset basis and, below, prime
  for (let i = 0; i < purpose.length; i++) hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Both words of a seed. @throws OptionError unless it is an integer in 0 … 2⁵³ - 1 */
export function seedWords(seed: number): [number, number] {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new OptionError(`random: the seed ${seed} is not an integer in 0 … 2⁵³ - 1; choose one`);
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

/** Random 32-bit words; equal to those of the device. @throws OptionError */
export function hostBits(count: number, key: RandomKey): Uint32Array {
  const words = new Uint32Array(count);
  const purpose = purposeNumber(key.purpose);
  const seed = seedWords(key.seed);
  const step = (key.step ?? 0) >>> 0;
  for (let first = 0; first < count; first += 4) {
    const block = philox([first / 4, 0, step, purpose], seed);
    for (let i = first; i < Math.min(first + 4, count); i++) words[i] = block[i - first] ?? 0;
  }
  return words;
}

/** Uniform numbers in [0, 1), multiples of 2⁻²⁴; equal to those of the device. @throws OptionError */
export function hostUniform(count: number, key: RandomKey): Float32Array {
  return Float32Array.from(hostBits(count, key), (word) => (word >>> 8) * 2 ** -24);
}

/** Standard normal numbers (Box & Muller 1958); those of the device differ by f32 rounding. @throws OptionError */
export function hostNormal(count: number, key: RandomKey): Float32Array {
  const words = hostBits(2 * Math.ceil(count / 2), key);
  return Float32Array.from({ length: count }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log((((words[i - (i % 2)] ?? 0) >>> 8) + 1) * 2 ** -24));
    const angle = 2 * Math.PI * ((words[i - (i % 2) + 1] ?? 0) >>> 8) * 2 ** -24;
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}

/**
 * A uniform permutation of 0 … length - 1: the places of random keys in ascending order; equal to row 0 of the device's.
 *
 * @throws OptionError
 */
export function hostPermutation(length: number, key: RandomKey): Uint32Array {
  const keys = hostBits(length, key);
  const pairs = new Uint32Array(2 * length); // read as 64-bit numbers: place below, key above, so that equal keys keep their order
  for (let i = 0; i < length; i++) {
    pairs[2 * i] = i;
    pairs[2 * i + 1] = keys[i] ?? 0;
  }
  new BigUint64Array(pairs.buffer).sort();
  return Uint32Array.from({ length }, (_, i) => pairs[2 * i] ?? 0);
}
