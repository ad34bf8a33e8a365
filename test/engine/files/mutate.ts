/** 32-bit generator (Mulberry32): the same files for the same seed on every runtime. */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const edges = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 2 ** 53, 2 ** 63];
// Instructions of pickles, pieces of headers, names: what makes a mutated file get further than its first bytes.
const binaryWords: readonly string[] = [
  "R",
  "b",
  "Q",
  "(",
  "t",
  "e",
  "u",
  "h\x00",
  "q\x00",
  ")\x81",
  "cos\nsystem\n",
  "2",
  "}",
  "]",
  "0",
  "9",
  "-1",
  "[",
  '"',
  ",",
  "PK\x01\x02",
  "PK\x03\x04",
  "PK\x05\x06",
  "(99999999999,)",
];

function splice(bytes: Uint8Array, start: number, removed: number, added: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length - removed + added.length);
  out.set(bytes.subarray(0, start));
  out.set(added, start);
  out.set(bytes.subarray(start + removed), start + added.length);
  return out;
}

function mutateOnce(
  bytes: Uint8Array,
  random: (below: number) => number,
  other: Uint8Array,
  words: readonly string[],
): Uint8Array {
  const at = random(bytes.length + 1);
  const left = bytes.length - at;
  const span = Math.min(left, 1 + random(24));
  const out = bytes.slice();
  switch (random(8)) {
    case 0:
      if (left > 0) out[at] = (out[at] ?? 0) ^ (1 << random(8));
      return out;
    case 1:
      if (left > 0) out[at] = random(256);
      return out;
    case 2: {
      // An edge of a 1-, 2-, 4- or 8-byte number; sizes and offsets are such numbers.
      const width = Math.min(left, 2 ** random(4));
      let value = BigInt(edges[random(edges.length)] ?? 0);
      for (let i = 0; i < width; i++, value >>= 8n) out[at + i] = Number(value & 255n);
      return out;
    }
    case 3:
      return bytes.slice(0, at);
    case 4:
      return splice(bytes, at, span, new Uint8Array(0));
    case 5:
      return splice(bytes, at, 0, bytes.subarray(random(bytes.length + 1)).slice(0, span));
    case 6:
      return splice(bytes, at, Math.min(span, random(3)), new TextEncoder().encode(words[random(words.length)] ?? ""));
    default: {
      const from = random(other.length + 1);
      return splice(bytes, at, span, other.slice(from, from + 1 + random(64)));
    }
  }
}

/**
 * One of the files after one to four mutations: bytes changed, inserted, removed, cut off, sizes replaced.
 *
 * @param random - draws a whole number below the given one
 * @param words - pieces that the format knows
 * @param rounds - how many mutations; drawn unless given
 */
export function mutated(
  bases: readonly Uint8Array[],
  random: (below: number) => number,
  words: readonly string[] = binaryWords,
  rounds?: number,
): Uint8Array {
  const pick = (): Uint8Array => bases[random(bases.length)] ?? new Uint8Array(0);
  let bytes: Uint8Array = new Uint8Array(pick()); // a Buffer's `slice` would be the same memory
  for (let left = rounds ?? 1 + random(4); left > 0; left--) bytes = mutateOnce(bytes, random, pick(), words);
  return bytes;
}
