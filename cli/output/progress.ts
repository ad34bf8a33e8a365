import type { Output } from "./streams.ts";

/** Time between two lines where lines cannot be overwritten, in milliseconds. */
const plainIntervalMs = 10_000;
const terminalIntervalMs = 200;
/** With the text behind it the bar fits into 80 columns. */
const barColumns = 20;

/** Shows how far a long command is, how fast, and when it will be done: a bar on a terminal, rare lines elsewhere. */
export class Progress {
  readonly #startMs = performance.now();
  #shownMs = this.#startMs;

  constructor(
    readonly output: Output,
    readonly total: number,
    /** What is counted, in the plural. */
    readonly unit: string,
    /** Done by an earlier process, which says nothing about the rate. */
    readonly from = 0,
  ) {}

  update(done: number): void {
    const { streams, options } = this.output;
    const now = performance.now();
    const interval = streams.isTerminal ? terminalIntervalMs : plainIntervalMs;
    if (options.quiet || now - this.#shownMs < interval) return;
    this.#shownMs = now;
    const rate = (done - this.from) / ((now - this.#startMs) / 1000);
    const seconds = rate > 0 ? (this.total - done) / rate : Number.POSITIVE_INFINITY;
    const line = `${done} of ${this.total} ${this.unit}, ${rate.toFixed(1)}/s, ${formatSeconds(seconds)} left`;
    if (streams.isTerminal) this.output.bar(`${bar(done / this.total)} ${line}`);
    else this.output.notice(line);
  }

  /** Removes the line. */
  end(): void {
    this.output.clearBar();
  }
}

function bar(share: number): string {
  const filled = Math.round(barColumns * Math.min(1, Math.max(0, share)));
  return "█".repeat(filled) + "░".repeat(barColumns - filled);
}

/** A duration for people: 42 s, 3 min 20 s, 2 h 5 min. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
