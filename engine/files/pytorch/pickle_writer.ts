const encoder = new TextEncoder();

function littleEndian(value: number, widthBytes: 1 | 2 | 4): number[] {
  return Array.from({ length: widthBytes }, (_, i) => (value >>> (8 * i)) & 255);
}

// Python's pickler writes at most this many members with one instruction.
const batchSize = 1000;

/**
 * Writes a pickle of protocol 2 with the instructions that Python's own pickler chooses. Values are stored in the memo as
 * there; what is looked up again is up to the caller (globals and fixed words are).
 */
export class PickleWriter {
  private readonly chunks: Uint8Array[] = [];
  private readonly remembered = new Map<string, number>();
  private memoSize = 0;

  constructor() {
    this.emit("\x80\x02");
  }

  private emit(instruction: string, operand: Iterable<number> = []): void {
    const code = Uint8Array.from(instruction, (character) => character.charCodeAt(0));
    this.chunks.push(code, Uint8Array.from(operand));
  }

  private memoize(): number {
    const index = this.memoSize++;
    if (index < 256) this.emit("q", [index]);
    else this.emit("r", littleEndian(index, 4));
    return index;
  }

  /** Writes what `write` does the first time, and a reference to it from then on. */
  private once(name: string, write: () => void): void {
    const index = this.remembered.get(name);
    if (index === undefined) {
      write();
      this.remembered.set(name, this.memoize());
    } else if (index < 256) this.emit("h", [index]);
    else this.emit("j", littleEndian(index, 4));
  }

  private unicode(text: string): void {
    const bytes = encoder.encode(text);
    this.emit("X", [...littleEndian(bytes.length, 4), ...bytes]);
  }

  none(): void {
    this.emit("N");
  }
  boolean(value: boolean): void {
    this.emit(value ? "\x88" : "\x89");
  }
  /** Whole numbers become integers, all others floats. */
  number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setFloat64(0, value, false);
      this.emit("G", bytes);
    } else if (value >= 0 && value < 2 ** 8) this.emit("K", [value]);
    else if (value >= 0 && value < 2 ** 16) this.emit("M", littleEndian(value, 2));
    else if (value >= -(2 ** 31) && value < 2 ** 31) this.emit("J", littleEndian(value, 4));
    else this.long(BigInt(value));
  }
  private long(value: bigint): void {
    let length = 1;
    while (BigInt.asIntN(8 * length, value) !== value) length += 1;
    this.emit("\x8a", [length, ...Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 255n))]);
  }
  text(value: string): void {
    this.unicode(value);
    this.memoize();
  }
  /** Text that is one and the same object wherever it occurs. */
  word(value: string): void {
    this.once(`word ${value}`, () => this.unicode(value));
  }
  global(module: string, name: string): void {
    this.once(`global ${module} ${name}`, () => this.emit(`c${module}\n${name}\n`));
  }

  tuple(items: readonly (() => void)[]): void {
    if (items.length === 0) {
      this.emit(")");
      return;
    }
    if (items.length > 3) this.emit("(");
    for (const item of items) item();
    this.emit(["t", "\x85", "\x86", "\x87"][items.length > 3 ? 0 : items.length] ?? "t");
    this.memoize();
  }
  numbers(values: readonly number[]): void {
    this.tuple(values.map((value) => () => this.number(value)));
  }
  list(items: readonly (() => void)[]): void {
    this.emit("]");
    this.memoize();
    this.batches(items, "a", "e");
  }
  /** Items write a key and a value each. */
  dict(items: readonly (() => void)[]): void {
    this.emit("}");
    this.memoize();
    this.batches(items, "s", "u");
  }
  orderedDict(items: readonly (() => void)[]): void {
    this.global("collections", "OrderedDict");
    this.tuple([]);
    this.reduce();
    this.batches(items, "s", "u");
  }
  private batches(items: readonly (() => void)[], one: string, many: string): void {
    for (let start = 0; start < items.length; start += batchSize) {
      const batch = items.slice(start, start + batchSize);
      if (batch.length > 1) this.emit("(");
      for (const item of batch) item();
      this.emit(batch.length > 1 ? many : one);
    }
  }

  /** Calls the global below the top of the stack with the tuple on top. */
  reduce(): void {
    this.emit("R");
    this.memoize();
  }
  /** Turns the tuple on top of the stack into the object that the container knows by it. */
  persistentId(): void {
    this.emit("Q");
  }

  done(): Uint8Array {
    this.emit(".");
    const all = new Uint8Array(this.chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let offset = 0;
    for (const chunk of this.chunks) {
      all.set(chunk, offset);
      offset += chunk.length;
    }
    return all;
  }
}
