/**
 * Yields `make(first) … make(end - 1)` in order while up to `ahead` further ones are under way.
 * Leaving the loop early aborts the signal given to `make` and waits for what is under way, so that
 * nothing uses the source afterwards.
 */
export async function* prefetched<T>(
  range: { readonly first: number; readonly end: number },
  ahead: number,
  make: (position: number, signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): AsyncGenerator<T, void, void> {
  const stop = new AbortController();
  const stopped = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const underWay: Promise<T>[] = [];
  let next = range.first;
  try {
    while (next < range.end || underWay.length > 0) {
      signal?.throwIfAborted();
      while (next < range.end && underWay.length <= ahead) {
        const made = make(next++, stopped);
        made.catch(() => undefined); // reported when its turn comes; until then it must not count as unhandled
        underWay.push(made);
      }
      const due = underWay[0];
      if (due === undefined) return;
      const value = await due;
      underWay.shift();
      yield value;
    }
  } finally {
    stop.abort();
    await Promise.allSettled(underWay);
  }
}
