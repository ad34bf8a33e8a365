import { ValidationError } from "../core/errors.ts";
import { WgslError } from "../wgsl/wgsl_error.ts";

const words = new Uint32Array(1);
const singles = new Float32Array(words.buffer);

/** What the JavaScript of a kernel calls. */
export const runtime = {
  /** An index within its array. @throws ValidationError elsewhere: adapters would read or write another's memory there */
  at(index: number, length: number): number {
    if (index >= 0 && index < length) return index;
    throw new ValidationError(
      `interpreter: the index ${index} is outside an array of ${length} elements; correct the kernel`,
    );
  },
  bitsOf(x: number): number {
    singles[0] = x;
    return words[0] ?? 0;
  },
  ofBits(bits: number): number {
    words[0] = bits;
    return singles[0] ?? 0;
  },
  divideSigned(a: number, b: number): number {
    return b === 0 || (b === -1 && a === -(2 ** 31)) ? a : (a / b) | 0;
  },
  remainderSigned(a: number, b: number): number {
    return b === 0 || b === -1 ? 0 : (a % b) | 0;
  },
  divideUnsigned(a: number, b: number): number {
    return b === 0 ? a : (a / b) >>> 0;
  },
  remainderUnsigned(a: number, b: number): number {
    return b === 0 ? 0 : a % b;
  },
  min(a: number, b: number): number {
    return b < a ? b : a;
  },
  max(a: number, b: number): number {
    return a < b ? b : a;
  },
  sign(x: number): number {
    return x > 0 ? 1 : x < 0 ? -1 : 0;
  },
  /** Towards zero, and to the nearest that there is. */
  toSigned(x: number): number {
    return Number.isNaN(x) ? 0 : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(x))) | 0;
  },
  toUnsigned(x: number): number {
    return Number.isNaN(x) ? 0 : Math.max(0, Math.min(2 ** 32 - 1, Math.trunc(x))) >>> 0;
  },
  clamp(x: number, low: number, high: number): number {
    const raised = x < low ? low : x;
    return high < raised ? high : raised;
  },
  /** To the nearest whole number, halves to the even one. */
  roundEven(x: number): number {
    const floor = Math.floor(x);
    const rest = x - floor;
    if (rest < 0.5 || (rest === 0.5 && floor % 2 === 0)) return floor === 0 && x < 0 ? -0 : floor;
    return floor + 1 === 0 ? -0 : floor + 1;
  },
  countOnes(x: number): number {
    let count = 0;
    for (let rest = x >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count++;
    return count;
  },
  trailingZeros(x: number): number {
    return x === 0 ? 32 : 31 - Math.clz32(x & -x);
  },
  firstTrailing(x: number): number {
    return x === 0 ? -1 : 31 - Math.clz32(x & -x);
  },
  firstLeading(x: number): number {
    return 31 - Math.clz32(x);
  },
  firstLeadingSigned(x: number): number {
    return 31 - Math.clz32(x < 0 ? ~x : x);
  },
  reverse(x: number): number {
    let result = 0;
    for (let bit = 0; bit < 32; bit++) if ((x >>> bit) & 1) result |= 1 << (31 - bit);
    return result;
  },
  /** Of an array that fills the rest of a binding. */
  elements(bytes: number, stride: number): number {
    return Math.floor(bytes / stride);
  },
  first<T>(value: T, ..._others: readonly unknown[]): T {
    return value;
  },
  runAll,
  /** @throws WgslError that names the operation */
  refuse(what: string, line: number): never {
    throw new WgslError(
      line,
      `${what} has no one result on all adapters, so the interpreter does not compute it; use a reproducible device, whose kernels do without`,
    );
  },
  copy,
} as const;

/** Copies what has elements or fields of its own. Vectors, which are never changed, are shared. */
function copy(value: unknown): unknown {
  if (value instanceof Float32Array || value instanceof Int32Array || value instanceof Uint32Array)
    return value.slice();
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(copy) : value;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, copy(field)]));
}

type Place = readonly [number, number, number];

/**
 * Runs all workgroups in turn.
 *
 * @param begin - gives the memory of a workgroup its zeros
 * @param start - runs an invocation; where the kernel waits at barriers, it begins one, which stops at each
 * @throws ValidationError where some invocations end while others wait
 */
function runAll(
  lanes: number,
  counts: Place,
  begin: () => void,
  start: (lane: number, group: Place, counts: Place) => Iterator<unknown> | undefined,
): void {
  const [width, height, depth] = counts;
  for (let i = 0; i < width * height * depth; i++) {
    const group = [i % width, Math.floor(i / width) % height, Math.floor(i / (width * height))] as const;
    begin();
    const waiting: Iterator<unknown>[] = [];
    for (let lane = 0; lane < lanes; lane++) {
      const started = start(lane, group, counts);
      if (started) waiting.push(started);
    }
    while (waiting.length > 0 && !advance(waiting));
  }
}

/** Up to the next barrier, or the end. @returns whether all ended */
function advance(waiting: readonly Iterator<unknown>[]): boolean {
  let ended = 0;
  for (const invocation of waiting) if (invocation.next().done) ended++;
  if (ended > 0 && ended < waiting.length)
    throw new ValidationError(
      `interpreter: ${waiting.length - ended} of ${waiting.length} invocations wait at a barrier that the others do not reach; correct the kernel`,
    );
  return ended > 0;
}
