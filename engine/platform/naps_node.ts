import type { Waits } from "../core/device_parts.ts";

/** Share of the time waited so far that a nap may take: so much, at most, is the end of the work noticed too late. */
const napShare = 0.1;
/** Sleeping for less costs more than it saves. */
const shortestNapMs = 0.05;
/** Longer naps would save nothing and keep the program's other work waiting. */
const longestNapMs = 0.5;
/** A turn of the event loop that took longer had other work to do. */
const busyTurnMs = 0.3;

const cell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Keeps Node's main thread from spinning. While Dawn has a promise pending, it asks in every turn of the event loop whether
 * the device is done, which takes a whole core from a software adapter. Here each such turn ends with a short sleep, unless
 * the turn had other work to do.
 */
export class Naps implements Waits {
  readonly #waits = new Set<{ readonly sinceMs: number }>();
  #isTurning = false;
  #lastTurnMs = 0;

  /** @param sleep - blocks the thread for so many milliseconds */
  constructor(
    private readonly sleep = (milliseconds: number): void => {
      Atomics.wait(cell, 0, 0, milliseconds);
    },
  ) {}

  /** Settles as `promise` does, with naps until then. */
  async during<T>(promise: Promise<T>): Promise<T> {
    const wait = { sinceMs: performance.now() };
    this.#waits.add(wait);
    if (!this.#isTurning) {
      this.#isTurning = true;
      this.#lastTurnMs = wait.sinceMs;
      setImmediate(() => this.#turn());
    }
    try {
      return await promise;
    } finally {
      this.#waits.delete(wait);
    }
  }

  #turn(): void {
    const newest = [...this.#waits].at(-1);
    if (!newest) {
      this.#isTurning = false;
      return;
    }
    const now = performance.now();
    const napMs = Math.min(longestNapMs, napShare * (now - newest.sinceMs));
    if (now - this.#lastTurnMs < busyTurnMs && napMs >= shortestNapMs) this.sleep(napMs);
    this.#lastTurnMs = performance.now();
    setImmediate(() => this.#turn());
  }
}
