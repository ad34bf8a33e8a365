import type { ImageBatch } from "../data/index.ts";

/** Time per update and the share of it spent waiting for data. */
export class StepClock {
  #last = performance.now();
  #waitedMs = 0;

  constructor(readonly batch: number) {}

  /** Passes batches on and counts the time that they were waited for. */
  async *waiting(feed: AsyncGenerator<ImageBatch, void, void>): AsyncGenerator<ImageBatch, void, void> {
    try {
      for (;;) {
        const start = performance.now();
        const next = await feed.next();
        this.#waitedMs += performance.now() - start;
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await feed.return();
    }
  }

  /** Leaves out what was done since the last call, such as an evaluation. */
  restart(): void {
    this.#last = performance.now();
    this.#waitedMs = 0;
  }

  /** Since the last call. */
  lap(): { imagesPerSecond: number; waitShare: number } {
    const now = performance.now();
    const elapsedMs = Math.max(now - this.#last, 1e-3);
    const waitShare = Math.min(1, this.#waitedMs / elapsedMs);
    this.restart();
    return { imagesPerSecond: (1000 * this.batch) / elapsedMs, waitShare };
  }
}
