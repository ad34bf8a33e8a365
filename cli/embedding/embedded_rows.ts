import type { ImageSource } from "../../refiner/data/index.ts";

/** What one row of a feature file belongs to. */
export interface RowSource {
  readonly path: string;
  /** Class, -1 for none. */
  readonly label: number;
}

/** The images of a feature file's rows: two numbers each, so that memory does not grow with names. */
export class EmbeddedRows {
  readonly #indices: number[] = [];
  readonly #labels: number[] = [];

  constructor(readonly source: ImageSource) {}

  get length(): number {
    return this.#indices.length;
  }

  push(index: number, label: number): void {
    this.#indices.push(index);
    this.#labels.push(label);
  }

  /** Rows `from` to `to`, the latter excluded. */
  slice(from: number, to: number): RowSource[] {
    return this.#indices
      .slice(from, to)
      .map((index, i) => ({ path: this.source.name(index), label: this.#labels[from + i] ?? -1 }));
  }
}
