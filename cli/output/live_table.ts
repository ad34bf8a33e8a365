import { shown } from "../../engine/core/shown.ts";
import type { Output } from "./streams.ts";

/** A table on a terminal that is drawn again in place; elsewhere nothing is drawn. */
export class LiveTable {
  #lines = 0;

  constructor(readonly output: Output) {}

  /** The first column is left-aligned, the others to the right. */
  show(given: readonly (readonly string[])[]): void {
    const { streams, options } = this.output;
    if (!streams.isTerminal || options.quiet) return;
    this.clear();
    const rows = given.map((row) => row.map(shown));
    const widths = (rows[0] ?? []).map((_, i) => rows.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), 0));
    const pad = (cell: string, i: number): string =>
      i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
    for (const row of rows) streams.err(`${row.map(pad).join("  ")}\n`);
    this.#lines = rows.length;
  }

  /** Removes the table, provided that nothing was written below it since, or that was removed as well. */
  clear(): void {
    if (this.#lines > 0) this.output.streams.err(`\x1b[${this.#lines}A\r\x1b[J`);
    this.#lines = 0;
  }
}
