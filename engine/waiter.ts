/** Below this a sleep would cost more latency than the spinning that it saves. */
const worthSleepingMs = 8;
/** Share of the expected wait to sleep; measured, bench/waiting. */
const sleepShare = 0.5;
/** Kinds of waits remembered. */
const mostKeys = 64;

/**
 * Waits for the device without burning a core. While Dawn has a promise pending, Node's main thread spins, which takes
 * time from a software adapter; so the first half of the expected wait is spent asleep, before the promise is asked for.
 */
export class Waiter {
  readonly #expectedMs = new Map<string, number>();

  async wait<T>(key: string, wait: () => Promise<T>): Promise<T> {
    const expected = this.#expectedMs.get(key) ?? 0;
    const start = performance.now();
    const sleepMs = expected > worthSleepingMs ? sleepShare * expected : 0;
    if (sleepMs > 0) await new Promise((resolve) => setTimeout(resolve, sleepMs));
    const woke = performance.now();
    const value = await wait();
    const end = performance.now();
    // If the work was done before the sleep ended, all that is known is that it takes less.
    const overslept = sleepMs > 0 && end - woke < 1;
    this.#expectedMs.delete(key);
    this.#expectedMs.set(
      key,
      overslept ? sleepMs / 4 : Math.min(end - start, expected === 0 ? Number.POSITIVE_INFINITY : 2 * expected),
    );
    if (this.#expectedMs.size > mostKeys) this.#expectedMs.delete(this.#expectedMs.keys().next().value ?? "");
    return value;
  }
}
