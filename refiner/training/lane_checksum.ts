// Odd, so that each step can be undone: one changed word always changes the result. Of xxHash (github.com/Cyan4973/xxHash).
const primes = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f] as const;
const blockBytes = 64;
const chunkBytes = 1 << 20;

/** Mixes whole blocks, which stand at the start of `words`, into 16 lanes. */
interface Mixer {
  readonly lanes: Uint32Array;
  /** Room for bytes to mix. */
  readonly room: Uint8Array;
  mix(bytes: number): void;
}

/**
 * Checksum of bytes in 16 lanes of 32 bits, folded to four, and their number, as hexadecimal digits. It finds damage, not forgery: SHA-256
 * takes several times as long where the processor has no instructions for it. Each word of a lane is xored in, multiplied by an
 * odd prime, and its high bits brought down, else two flips of the highest bit would cancel.
 */
export function laneChecksum(bytes: Uint8Array): string {
  const { lanes, room, mix } = mixer();
  for (let lane = 0; lane < 16; lane++) lanes[lane] = lane + 1;
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    const part = bytes.subarray(start, start + chunkBytes);
    const padded = Math.ceil(part.length / blockBytes) * blockBytes;
    room.set(part);
    room.fill(0, part.length, padded);
    mix(padded);
  }
  const folded = [0, 1, 2, 3].map((lane) =>
    [4, 8, 12].reduce((sum, next) => mixed(sum, lanes[lane + next] ?? 0, lane), lanes[lane] ?? 0),
  );
  return [...folded, bytes.length].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** The same of a value as JSON writes it. */
export function valueChecksum(value: unknown): string {
  return laneChecksum(new TextEncoder().encode(JSON.stringify(value)));
}

function mixed(lane: number, word: number, place: number): number {
  const product = Math.imul(lane ^ word, primes[place & 3] ?? 1);
  return product ^ (product >>> 15);
}

let made: Mixer | undefined;

/** By vector instructions; by numbers of JavaScript where a page's policy forbids to compile. */
function mixer(): Mixer {
  made ??= vectorMixer() ?? plainMixer();
  return made;
}

/** The same lanes without WebAssembly. */
export function plainMixer(): Mixer {
  const room = new Uint8Array(chunkBytes);
  const [lanes, words] = [new Uint32Array(16), new Uint32Array(room.buffer)];
  const mix = (bytes: number): void => {
    for (let i = 0; i < bytes / 4; i++) lanes[i & 15] = mixed(lanes[i & 15] ?? 0, words[i] ?? 0, i);
  };
  return { lanes, room, mix };
}

/** @returns undefined where WebAssembly may not be compiled */
export function vectorMixer(): Mixer | undefined {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(vectorCode()));
    const { memory, mix } = exports;
    if (!(memory instanceof WebAssembly.Memory) || typeof mix !== "function") return undefined;
    const room = new Uint8Array(memory.buffer, blockBytes, chunkBytes);
    return { lanes: new Uint32Array(memory.buffer, 0, 16), room, mix: (bytes) => void mix(blockBytes + bytes) };
  } catch (error) {
    if (error instanceof WebAssembly.CompileError) return undefined;
    throw error;
  }
}

/**
 * A module with one function `mix(end)` and one memory: the lanes in its first 64 bytes, then what is mixed into them, up to `end`.
 * Opcodes: WebAssembly core specification 2.0, section 5.
 */
function vectorCode(): Uint8Array<ArrayBuffer> {
  const [end, at, prime, first] = [0, 1, 2, 3]; // locals; the four vectors of lanes from `first` on
  const quarters = [0, 1, 2, 3];
  const get = (local: number) => [0x20, local];
  const set = (local: number) => [0x21, local];
  const vector = (code: number) => [0xfd, ...unsigned(code)];
  const load = (offset: number) => [...vector(0x00), 4, ...unsigned(offset)];
  const store = (offset: number) => [...vector(0x0b), 4, ...unsigned(offset)];
  const [xor, multiply, shiftRight] = [vector(0x51), vector(0xb5), vector(0xad)];
  const integer = (value: number) => [0x41, ...(value < 64 ? [value] : [(value & 127) | 128, value >>> 7])]; // signed
  const primeBytes = new Uint8Array(Uint32Array.of(...primes).buffer);
  const body = [
    ...[3, 1, 0x7f, 1, 0x7b, 4, 0x7b], // locals: i32, v128, four v128
    ...[...vector(0x0c), ...primeBytes, ...set(prime)],
    ...quarters.flatMap((quarter) => [...integer(0), ...load(16 * quarter), ...set(first + quarter)]),
    ...[...integer(blockBytes), ...set(at)], // 64
    ...[0x03, 0x40], // loop
    ...quarters.flatMap((quarter) => [
      ...[...get(first + quarter), ...get(at), ...load(16 * quarter), ...xor, ...get(prime), ...multiply],
      ...[
        0x22,
        first + quarter,
        ...get(first + quarter),
        ...integer(15),
        ...shiftRight,
        ...xor,
        ...set(first + quarter),
      ],
    ]),
    ...[...get(at), ...integer(blockBytes), 0x6a, 0x22, at, ...get(end), 0x49, 0x0d, 0, 0x0b], // again while at < end
    ...quarters.flatMap((quarter) => [...integer(0), ...get(first + quarter), ...store(16 * quarter)]),
    0x0b,
  ];
  const section = (id: number, bytes: readonly number[]) => [id, ...unsigned(bytes.length), ...bytes];
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, 0x7f, 0]), // type: i32 to nothing
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1 + chunkBytes / 65_536]), // pages of memory
    ...section(7, [2, ...name("memory"), 2, 0, ...name("mix"), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

/** Variable length, seven bits per byte, low ones first (LEB128). */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}
