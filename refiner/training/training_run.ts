import type { ImageSource } from "../data/index.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { RunStore } from "./run_store.ts";
import type { UpdateWatch } from "./update_watch.ts";

/** Settings that every training has. */
export interface TrainingSettings {
  readonly batch: number;
  readonly seed: number;
  readonly prefetch: number;
  readonly maxBad: number;
  readonly checkpointEvery: number;
  readonly checkpointMinutes: number;
}

/** What a training works with, whatever its method. */
export interface TrainingRun {
  readonly images: ImageSource;
  /** Bound of the shorter side while decoding, in pixels. */
  readonly resizeTo: number;
  readonly settings: TrainingSettings;
  readonly store: RunStore;
  readonly resume?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of several processes that train together; default: this one alone. All but the first have a store that drops what is written. */
  readonly exchange?: Exchange | undefined;
  readonly hostBytes?: (() => number) | undefined;
  /** Where the run came from, for its checkpoints. Called once, after the first update, and awaited at the first checkpoint. */
  readonly origin?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
  readonly watch?: UpdateWatch | undefined;
  /** Completed updates of all stages after which the run stops as by its signal. */
  readonly until?: number | undefined;
}

export interface TrainingOutcome {
  readonly finished: boolean;
  /** Completed updates of all stages. */
  readonly updates: number;
  /** Updates that f16 overflow skipped. */
  readonly skipped: number;
}
