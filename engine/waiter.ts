/** Below this a sleep would cost more latency than the spinning that it saves. */
const worthSleepingMs = 8;
/** Share of the expected wait to sleep: half can never outlast work that takes as long as the last time. */
const sleepShare = 0.5;
/** Names remembered. */
const mostNames = 64;

/** Names work that takes about as long each time: a text, or the object that does it. */
export type WaitKey = string | object;

/**
 * Waits for the device without burning a core. While Dawn has a promise pending, Node's main thread spins, which takes
 * time from a software adapter; so half of the expected wait is spent asleep, before the promise is asked for. Expected is
 * the shorter of the last two waits for the same key: the first of all compiles kernels, and any may meet a busy machine.
 */
export class Waiter {
  readonly #byName = new Map<string, readonly number[]>();
  readonly #byObject = new WeakMap<object, readonly number[]>();

  async wait<T>(key: WaitKey, wait: () => Promise<T>): Promise<T> {
    const known = this.#recall(key);
    const expected = known.length < 2 ? 0 : Math.min(...known);
    const start = performance.now();
    const sleepMs = expected > worthSleepingMs ? sleepShare * expected : 0;
    if (sleepMs > 0) await new Promise((resolve) => setTimeout(resolve, sleepMs));
    const woke = performance.now();
    const value = await wait();
    const end = performance.now();
    // If the work was done before the sleep ended, all that is known is that it takes less.
    const overslept = sleepMs > 0 && end - woke < 1;
    this.#keep(key, [...known, overslept ? sleepMs / 2 : end - start].slice(-2));
    return value;
  }

  #recall(key: WaitKey): readonly number[] {
    return (typeof key === "string" ? this.#byName.get(key) : this.#byObject.get(key)) ?? [];
  }

  #keep(key: WaitKey, waits: readonly number[]): void {
    if (typeof key !== "string") {
      this.#byObject.set(key, waits);
      return;
    }
    this.#byName.delete(key);
    this.#byName.set(key, waits);
    if (this.#byName.size > mostNames) this.#byName.delete(this.#byName.keys().next().value ?? "");
  }
}
