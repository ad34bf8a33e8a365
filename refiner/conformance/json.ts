import { CheckpointError } from "../../engine/files/index.ts";

/** JSON has no such numbers; the fixtures write them as text. */
const nonFinite: ReadonlyMap<unknown, number> = new Map([
  ["inf", Number.POSITIVE_INFINITY],
  ["-inf", Number.NEGATIVE_INFINITY],
  ["nan", Number.NaN],
]);

/** Values read from JSON by a path of keys; which ones were read is kept, to be told apart from the others. */
export class Json {
  readonly #value: unknown;
  readonly #reads: Set<string>;

  constructor(
    value: unknown,
    readonly path = "",
    reads = new Set<string>(),
  ) {
    this.#value = value;
    this.#reads = reads;
  }

  get(...keys: readonly (string | number)[]): Json {
    const [key, ...rest] = keys;
    if (key === undefined) return this;
    const child = this.#children().find(([name]) => name === String(key))?.[1];
    return new Json(child, joined(this.path, String(key)), this.#reads).get(...rest);
  }

  #children(): [string, unknown][] {
    return isContainer(this.#value) ? Object.entries(this.#value) : [];
  }

  /** The value as it stands. */
  get value(): unknown {
    this.#reads.add(this.path);
    return this.#value;
  }

  get exists(): boolean {
    return this.#value !== undefined;
  }

  has(key: string): boolean {
    return this.get(key).exists;
  }

  keys(): string[] {
    return this.#children().map(([name]) => name);
  }

  /** @throws CheckpointError unless the value is a number (or the text "inf", "-inf", "nan") */
  number(): number {
    return this.#numberOf(this.value, this.path);
  }

  #numberOf(value: unknown, path: string): number {
    const named = nonFinite.get(value);
    if (named !== undefined) return named;
    if (typeof value !== "number") throw wrongValue(path, value, "a number");
    return value;
  }

  numbers(): number[] {
    const { value } = this;
    return Array.isArray(value) ? value.map((item, i) => this.#numberOf(item, joined(this.path, String(i)))) : [];
  }

  text(): string {
    const { value } = this;
    if (typeof value !== "string") throw wrongValue(this.path, value, "text");
    return value;
  }

  texts(): string[] {
    const { value } = this;
    if (!Array.isArray(value)) return [];
    return value.map((item, i) => {
      if (typeof item !== "string") throw wrongValue(joined(this.path, String(i)), item, "text");
      return item;
    });
  }

  /**
   * Settings that the code has no choice of: those that the file states must have these values.
   *
   * @throws CheckpointError for another value, which the code would not follow
   */
  expect(settings: Readonly<Record<string, unknown>>): void {
    for (const [key, expected] of Object.entries(settings)) {
      const child = this.get(key);
      if (child.exists && JSON.stringify(child.value) !== JSON.stringify(expected))
        throw wrongValue(child.path, child.value, `${JSON.stringify(expected)}, the only value that is supported here`);
    }
  }

  /** The error for a value that the code does not know. */
  unexpected(expected: string): CheckpointError {
    return wrongValue(this.path, this.value, expected);
  }

  /** Paths of all values that hold no others, and of lists of such values as a whole; what is empty holds none. */
  leaves(): string[] {
    const children = this.#children();
    const isList = Array.isArray(this.#value) && !children.some(([, child]) => isContainer(child));
    if (!isContainer(this.#value) || (isList && children.length > 0)) return this.exists ? [this.path] : [];
    return children.flatMap(([key, child]) => new Json(child, joined(this.path, key), this.#reads).leaves());
  }

  wasRead(path: string): boolean {
    return this.#reads.has(path);
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function joined(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function wrongValue(path: string, value: unknown, expected: string): CheckpointError {
  return new CheckpointError("corrupt", `fixture: ${path} is ${JSON.stringify(value)}, expected ${expected}`);
}
