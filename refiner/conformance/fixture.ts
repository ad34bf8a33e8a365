import {
  type ByteSource,
  type Checkpoint,
  CheckpointError,
  type FileDType,
  openCheckpoint,
} from "../../engine/files/index.ts";
import type { Device } from "../../engine/index.ts";
import type { Precision } from "../../models/index.ts";

/** Comparison of one stored result with the code's. */
export interface GoldenRow {
  /** Fixture case, such as `vit-prenorm`. */
  readonly case: string;
  /** The fixture's own name of the tensor, or the key path of a scalar in its JSON file. */
  readonly tensor: string;
  /** max |a − b| / max(|b|max, 1e-6). */
  readonly maxError: number;
  readonly bound: number;
  readonly pass: boolean;
}

/** A folder of fixture files in the format of the reference fixtures. */
export interface FixtureFolder {
  /** Names of its files, without the folder. */
  files(): Promise<string[]>;
  open(name: string): Promise<ByteSource>;
  text(name: string): Promise<string>;
  /** The folder inside it of that name. */
  folder(name: string): FixtureFolder;
}

/** Bounds that hold for all cases: forward values, gradients, and indices, which must be equal. */
export const goldenBounds = { forward: 1e-5, gradient: 1e-4, exact: 0 } as const;

/** Bounds of what a model of some blocks computes. */
export interface ModelBounds {
  readonly forward: number;
  readonly gradient: number;
}

/** Unit round-off of f16: half the distance from 1 to the next number (11-bit mantissa). */
const halfRoundOff = 2 ** -11;
/** Roundings to f16 along the residual stream of one block: seven stored results and the weights of four products. */
const roundingsPerBlock = 11;
/** Pixels, patch weights, patch embedding, assembled tokens, last norm; in a decoder its embedding and its result. */
const otherRoundings = 5;

/**
 * Bounds in a precision. In f16 each rounding errs by up to u = 2⁻¹¹ of a value, uniformly, so by u / √3 as a standard deviation,
 * and n independent ones by √(n / 3) u; four standard deviations cover the largest of thousands of values. A gradient meets the
 * errors of the forward values, those of its own way back, and those of the forward values again where it is multiplied by them.
 */
export function modelBounds(precision: Precision, blocks: number): ModelBounds {
  if (precision === "f32") return goldenBounds;
  const largest = (roundings: number): number => 4 * Math.sqrt(roundings / 3) * halfRoundOff;
  const roundings = roundingsPerBlock * blocks + otherRoundings;
  return { forward: largest(roundings), gradient: largest(3 * roundings) };
}

/**
 * The bound for a gradient. Where the largest stored value is below 1e-6 the exact gradient is zero (a bias in front of a
 * batch norm, for example) and what is stored is round-off; the error is then measured against 1e-6 and may be all of it.
 */
export function gradientBound(expected: ArrayLike<number>, bound: number = goldenBounds.gradient): number {
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest < 1e-6 ? 1 : bound;
}

/** JSON has no such numbers; the fixtures write them as text. */
const nonFinite: ReadonlyMap<unknown, number> = new Map([
  ["inf", Number.POSITIVE_INFINITY],
  ["-inf", Number.NEGATIVE_INFINITY],
  ["nan", Number.NaN],
]);

/** Values read from JSON by a path of keys. */
export class Json {
  constructor(
    readonly value: unknown,
    readonly path = "",
  ) {}

  get(...keys: readonly (string | number)[]): Json {
    const [key, ...rest] = keys;
    if (key === undefined) return this;
    const here = this.value;
    const child =
      typeof here === "object" && here !== null
        ? Object.entries(here).find(([name]) => name === String(key))?.[1]
        : undefined;
    return new Json(child, this.path === "" ? String(key) : `${this.path}.${key}`).get(...rest);
  }

  has(key: string): boolean {
    return this.get(key).value !== undefined;
  }

  keys(): string[] {
    return typeof this.value === "object" && this.value !== null ? Object.keys(this.value) : [];
  }

  /** @throws CheckpointError unless the value is a number (or the text "inf", "-inf", "nan") */
  number(): number {
    const named = nonFinite.get(this.value);
    if (named !== undefined) return named;
    if (typeof this.value !== "number")
      throw new CheckpointError("corrupt", `fixture: ${this.path} is ${JSON.stringify(this.value)}, expected a number`);
    return this.value;
  }

  numbers(): number[] {
    return Array.isArray(this.value) ? this.value.map((_, i) => this.get(i).number()) : [];
  }

  text(): string {
    if (typeof this.value !== "string")
      throw new CheckpointError("corrupt", `fixture: ${this.path} is ${JSON.stringify(this.value)}, expected text`);
    return this.value;
  }

  texts(): string[] {
    return Array.isArray(this.value) ? this.value.map((_, i) => this.get(i).text()) : [];
  }
}

/** One fixture case with its tensors, and the rows found so far. */
export class GoldenCase {
  readonly rows: GoldenRow[] = [];

  private constructor(
    readonly device: Device,
    readonly name: string,
    readonly json: Json,
    readonly tensors: Checkpoint | undefined,
    /** Of encoders and decoders under test. */
    readonly precision: Precision,
  ) {}

  static async open(
    device: Device,
    folder: FixtureFolder,
    name: string,
    precision: Precision = "f32",
  ): Promise<GoldenCase> {
    const files = await folder.files();
    const json = files.includes(`${name}.json`) ? JSON.parse(await folder.text(`${name}.json`)) : {};
    const tensors = files.includes(`${name}.safetensors`)
      ? await openCheckpoint(await folder.open(`${name}.safetensors`))
      : undefined;
    return new GoldenCase(device, name, new Json(json), tensors, precision);
  }

  /** What the JSON file calls the case; the files may have another name, such as one with a number. */
  get statedName(): string {
    const { value } = this.json.get("case");
    return typeof value === "string" ? value : this.name;
  }

  /** Names of the stored tensors that start with a prefix. */
  names(prefix = ""): string[] {
    return [...(this.tensors?.tensors.keys() ?? [])].filter((name) => name.startsWith(prefix));
  }

  has(name: string): boolean {
    return this.tensors?.tensors.has(name) ?? false;
  }

  shape(name: string): readonly number[] {
    return this.#checkpoint().tensors.get(name)?.shape ?? [];
  }

  dtype(name: string): FileDType | undefined {
    return this.tensors?.tensors.get(name)?.dtype;
  }

  async floats(name: string): Promise<Float32Array> {
    return this.#checkpoint().readAsF32(name);
  }

  /** Integers as numbers. */
  async integers(name: string): Promise<number[]> {
    const { data } = await this.#checkpoint().read(name);
    return Array.from({ length: data.length }, (_, i) => Number(data[i]));
  }

  /** Bytes of a u8 tensor. */
  async bytes(name: string): Promise<Uint8Array> {
    return Uint8Array.from(await this.integers(name));
  }

  #checkpoint(): Checkpoint {
    if (!this.tensors) throw new CheckpointError("missing", `${this.name}: the folder has no ${this.name}.safetensors`);
    return this.tensors;
  }

  /** Compares a result with a stored tensor. */
  async compare(tensor: string, actual: ArrayLike<number>, bound: number): Promise<void> {
    const dtype = this.dtype(tensor);
    const isFloat = dtype === "f32" || dtype === "f64" || dtype === "f16" || dtype === "bf16";
    const expected = isFloat ? await this.floats(tensor) : await this.integers(tensor);
    this.add(tensor, actual, expected, bound);
  }

  /** Compares a result with values. */
  add(tensor: string, actual: ArrayLike<number>, expected: ArrayLike<number>, bound: number): void {
    this.addError(tensor, relativeError(actual, expected), bound);
  }

  /** Compares a scalar with a number of the JSON file, where that holds one. */
  addScalar(at: Json, actual: number, bound: number): void {
    if (at.value === undefined) return;
    this.add(at.path, [actual], [at.number()], bound);
  }

  /** Compares a gradient with a stored one; see {@link gradientBound}. */
  async compareGradient(tensor: string, actual: ArrayLike<number>, bound?: number): Promise<void> {
    const expected = await this.floats(tensor);
    this.add(tensor, actual, expected, gradientBound(expected, bound));
  }

  addError(tensor: string, maxError: number, bound: number): void {
    this.rows.push({ case: this.name, tensor, maxError, bound, pass: maxError <= bound });
  }
}

/**
 * max |a − b| / max(|b|max, 1e-6) over finite values; lengths that differ are an infinite error, and so is an infinity or
 * NaN that meets another value.
 */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 1e-6;
  for (const value of Array.from(expected)) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  for (let i = 0; i < expected.length; i++) {
    const [ours, theirs] = [actual[i], expected[i] ?? Number.NaN];
    if (Object.is(ours, theirs)) continue;
    const difference = Math.abs((ours ?? Number.NaN) - theirs);
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return worst / largest;
}
