/** Planned device memory and work of one update. */
export interface PlannedWork {
  readonly arenaBytes: number;
  readonly inputBytes: number;
  readonly featureBytes: number;
  /** Device memory that state of the host passes through. */
  readonly stagingBytes: number;
  /** Gradients of parts that wait to be summed, beside those of the whole batch. */
  readonly partialSumBytes: number;
  /** Bytes that go to the host in one update; as many come from there. */
  readonly streamedBytes: number;
  /** Kernel launches. */
  readonly dispatches: number;
  readonly flops: number;
}

/** Rates that predicted times are for: a current GPU with its bus, and the usual cost of starting a kernel. */
export const assumedRates = { flopsPerSecond: 20e12, busBytesPerSecond: 10e9, secondsPerLaunch: 5e-6 } as const;

/** Time of one update at {@link assumedRates}, where nothing is done at the same time, in seconds. */
export function predictedSeconds({ flops, dispatches, streamedBytes }: PlannedWork): number {
  const { flopsPerSecond, busBytesPerSecond, secondsPerLaunch } = assumedRates;
  return flops / flopsPerSecond + dispatches * secondsPerLaunch + (2 * streamedBytes) / busBytesPerSecond;
}
