import {
  type ByteSource,
  type Checkpoint,
  CheckpointError,
  type FileDType,
  openCheckpoint,
} from "../../engine/files/index.ts";
import type { Device } from "../../engine/index.ts";
import type { Precision } from "../../models/index.ts";
import type { JpegCodec } from "../data/corruptions/index.ts";
import { type Exchange, oneRank } from "../exchange/exchange.ts";
import { gradientBound } from "./bounds.ts";
import { type CaseInputs, type NotCompared, notCompared } from "./coverage.ts";
import { Json } from "./json.ts";

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
  /** For what was stored as JPEG; without it, such results are not compared. */
  readonly jpeg?: JpegCodec;
}

/** How a case of the folder is checked. */
export interface GoldenCheck {
  readonly run: (golden: GoldenCase) => Promise<void>;
  readonly inputs: CaseInputs;
}

/** One fixture case with its tensors, and the rows found so far. */
export class GoldenCase {
  readonly rows: GoldenRow[] = [];
  readonly #readTensors = new Set<string>();

  private constructor(
    readonly device: Device,
    readonly name: string,
    readonly json: Json,
    readonly tensors: Checkpoint | undefined,
    /** Of encoders and decoders under test. */
    readonly precision: Precision,
    readonly jpeg: JpegCodec | undefined,
    /** Of the processes that check the case together. */
    readonly exchange: Exchange,
  ) {}

  static async open(
    device: Device,
    folder: FixtureFolder,
    name: string,
    precision: Precision = "f32",
    exchange: Exchange = oneRank,
  ): Promise<GoldenCase> {
    const files = await folder.files();
    const json = files.includes(`${name}.json`) ? JSON.parse(await folder.text(`${name}.json`)) : {};
    const tensors = files.includes(`${name}.safetensors`)
      ? await openCheckpoint(await folder.open(`${name}.safetensors`))
      : undefined;
    return new GoldenCase(device, name, new Json(json), tensors, precision, folder.jpeg, exchange);
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

  /** @throws CheckpointError unless a tensor of that name is stored */
  require(name: string): void {
    if (!this.has(name))
      throw new CheckpointError(
        "missing",
        `${this.name}.safetensors: no tensor ${name}, which ${this.name}.json tells of`,
      );
  }

  has(name: string): boolean {
    return this.tensors?.tensors.has(name) ?? false;
  }

  shape(name: string): readonly number[] {
    return this.checkpoint.tensors.get(name)?.shape ?? [];
  }

  dtype(name: string): FileDType | undefined {
    return this.tensors?.tensors.get(name)?.dtype;
  }

  async floats(name: string): Promise<Float32Array> {
    this.#readTensors.add(name);
    return this.checkpoint.readAsF32(name);
  }

  /** Integers as numbers. */
  async integers(name: string): Promise<number[]> {
    this.#readTensors.add(name);
    const { data } = await this.checkpoint.read(name);
    return Array.from({ length: data.length }, (_, i) => Number(data[i]));
  }

  /** Bytes of a u8 tensor. */
  async bytes(name: string): Promise<Uint8Array> {
    return Uint8Array.from(await this.integers(name));
  }

  /** The file of tensors. @throws CheckpointError if the folder has none */
  get checkpoint(): Checkpoint {
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
    if (!at.exists) return;
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

  /** What the case's files hold beside the compared results and the inputs. */
  notCompared(inputs: CaseInputs): NotCompared[] {
    const { name, json } = this;
    const compared = new Set(this.rows.map(({ tensor }) => tensor));
    return notCompared({ name, tensors: this.names(), readTensors: this.#readTensors, json }, compared, inputs);
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
