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
    if (expected > worthSleepingMs) await new Promise((resolve) => setTimeout(resolve, sleepShare * expected));
    const value = await wait();
    const elapsed = performance.now() - start;
    // The shorter of the last two waits: a sleep must never outlast the work.
    this.#expectedMs.delete(key);
    this.#expectedMs.set(key, expected === 0 ? elapsed : Math.min(elapsed, 2 * expected));
    if (this.#expectedMs.size > mostKeys) this.#expectedMs.delete(this.#expectedMs.keys().next().value ?? "");
    return value;
  }
}
