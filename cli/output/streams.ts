import { shown, shownText } from "../../engine/core/shown.ts";

/** Where a command writes; tests give their own. */
export interface Streams {
  /** Results: text, or one JSON line. */
  readonly out: (text: string) => void;
  /** Notices, warnings, progress, errors. */
  readonly err: (text: string) => void;
  /** Whether `err` is a terminal, on which a line can be overwritten. */
  readonly isTerminal: boolean;
  /** Called for a command that leaves nothing but what it prints: it may end when the reader of `out` goes away, such as `head`. */
  endWithReader?(): void;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Takes away what stands in the line of a terminal. */
export const clearLine = "\r\x1b[K";

/** Writes a command's results to stdout and everything else to stderr. */
export class Output {
  #hasBar = false;

  constructor(
    readonly streams: Streams,
    readonly options: OutputOptions,
  ) {}

  /** A line of the result, for people; nothing with `--json`. */
  line(text = ""): void {
    if (this.options.json) return;
    this.clearBar();
    this.streams.out(`${shownText(text)}\n`);
  }

  /** The whole result, for programs: the only line on stdout with `--json`, nothing without. */
  result(value: unknown): void {
    if (!this.options.json) return;
    this.clearBar();
    this.streams.out(`${shownText(JSON.stringify(value, finiteNumbers))}\n`);
  }

  /** Something to know beside the result, in one line; nothing with `--quiet`. */
  notice(text: string): void {
    if (this.options.quiet) return;
    this.clearBar();
    this.streams.err(`${shown(text)}\n`);
  }

  /** Something that may make the result wrong, in one line; shown with `--quiet`, too. */
  warning(text: string): void {
    this.clearBar();
    this.streams.err(`warning: ${shown(text)}\n`);
  }

  /** Text in the last line of a terminal, which the next text of any kind replaces. */
  bar(text: string): void {
    this.streams.err(`${clearLine}${shown(text)}`);
    this.#hasBar = true;
  }

  clearBar(): void {
    if (this.#hasBar) this.streams.err(clearLine);
    this.#hasBar = false;
  }

  /** Names and values, one pair to a line. */
  pairs(pairs: readonly (readonly [name: string, value: string])[]): void {
    const width = Math.max(...pairs.map(([name]) => shown(name).length));
    for (const [name, value] of pairs) this.line(`${shown(name).padEnd(width)}  ${shown(value)}`);
  }

  /** Columns of text, the first left-aligned and the others to the right. */
  table(given: readonly (readonly string[])[]): void {
    const rows = given.map((row) => row.map(shown));
    const widths: number[] = [];
    for (const row of rows)
      row.forEach((cell, i) => {
        widths[i] = Math.max(widths[i] ?? 0, cell.length);
      });
    for (const row of rows) {
      const cells = row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
      this.line(cells.join("  ").trimEnd());
    }
  }
}

/** A row of a table with tabs: a name with a tab or a line break in it would be several cells or rows. */
export function tableLine(cells: readonly string[]): string {
  return cells.map(shown).join("\t");
}

/** JSON has no infinities: the largest number stands for them, and null for NaN. */
function finiteNumbers(_key: string, value: unknown): unknown {
  if (value === Number.POSITIVE_INFINITY) return Number.MAX_VALUE;
  if (value === Number.NEGATIVE_INFINITY) return -Number.MAX_VALUE;
  return typeof value === "bigint" ? String(value) : value;
}

/** Bytes for people: 12.3 MB. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toFixed(bytes / 1000 ** power < 10 ? 2 : 1)} ${units[power]}`;
}
