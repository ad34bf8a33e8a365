import { readFileSync } from "node:fs";
import type { FeatureMatrix } from "../../../refiner/evaluation/core/feature_matrix.ts";

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** The tensors of a golden fixture, by name. */
export class Fixture {
  readonly #bytes: Buffer;
  readonly #header: Readonly<Record<string, Entry>>;
  readonly #from: number;

  constructor(name: string) {
    this.#bytes = readFileSync(new URL(`../../fixtures/${name}.safetensors`, import.meta.url));
    const length = Number(this.#bytes.readBigUInt64LE(0));
    this.#header = JSON.parse(this.#bytes.toString("utf8", 8, 8 + length));
    this.#from = 8 + length;
  }

  matrix(name: string): FeatureMatrix {
    const { shape, bytes } = this.#tensor(name, "F32");
    const [rows = 0, columns = 1] = shape;
    return { rows, columns, data: new Float32Array(bytes) };
  }

  integers(name: string): Int32Array {
    return Int32Array.from(new BigInt64Array(this.#tensor(name, "I64").bytes), Number);
  }

  #tensor(name: string, dtype: string) {
    const entry = this.#header[name];
    if (entry?.dtype !== dtype) throw new Error(`the fixture has no ${dtype} tensor ${name}`);
    const [from, to] = entry.data_offsets;
    return {
      shape: entry.shape,
      bytes: new Uint8Array(this.#bytes.subarray(this.#from + from, this.#from + to)).buffer,
    };
  }
}
