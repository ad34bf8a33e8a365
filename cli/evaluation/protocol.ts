import type { Command } from "commander";
import type { TestPredictions } from "../../refiner/evaluation/index.ts";
import type { RunStore } from "../../refiner/index.ts";
import type { EvaluationData } from "../../refiner/report/index.ts";
import type { Output } from "../output/streams.ts";
import type { EvaluationJob, JobOptions } from "./evaluation_job.ts";
import type { Score, Selection } from "./evaluation_line.ts";

/** Options that `mimrefine evaluate` takes with every protocol. */
export interface ProtocolOptions extends JobOptions {
  readonly imageSize?: number;
  readonly maxBad: number;
  readonly out?: string;
  /** Where the protocol can go on. */
  readonly resume?: boolean | string;
  readonly override?: boolean;
  readonly force: boolean;
  readonly predictions?: string;
  readonly confusion?: string;
  readonly compare?: string;
}

/** What a protocol works with: one encoder and its images. */
export interface ProtocolRun extends EvaluationJob {
  /** Where the protocol may leave files: the folder of `--out`, else memory. */
  readonly store: RunStore;
  /** Whether the store holds a run of the same settings to go on with. */
  readonly resume: boolean;
  /** Whether there will be a page, so that pictures for it are wanted. */
  readonly hasPage: boolean;
  /** Tells that the user wants the command to end. */
  readonly signal: AbortSignal;
  readonly output: Output;
}

/** What a protocol found for one encoder. */
export interface ProtocolResult {
  /** Every setting that two results must share to be comparable, as it was used. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly selection: Selection;
  /** The first is the main number. */
  readonly scores: readonly [Score, ...Score[]];
  /** Further numbers, for `--json`. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** For people: what the numbers must be read with. */
  readonly remarks?: readonly string[];
  /** For people: rows of text. */
  readonly table: readonly (readonly string[])[];
  /** What the main number says of every test image, where it does. */
  readonly predictions?: TestPredictions;
  /** For the page, where the run has one. */
  readonly shown?: Partial<EvaluationData>;
}

/**
 * A way to judge an encoder: `mimrefine evaluate NAME`. All protocols share their inputs, outputs, receipts and comparisons
 * (`protocolCommand`); a new one is a file in `cli/evaluation/protocols` and a line in `cli/commands/evaluate.ts`.
 */
export interface Protocol<Options extends ProtocolOptions> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** For the help, one command line each. */
  readonly example: string;
  /** Whether it goes on where it was interrupted, by what it leaves in its store. */
  readonly isResumable: boolean;
  /** Its own options. Names that other commands have come from `sharedOption`. */
  addOptions(command: Command): void;
  /**
   * Checks its options before anything is opened.
   *
   * @throws UsageError
   */
  check?(options: Options, command: Command): Promise<void>;
  /** @returns undefined if the signal ended it early */
  evaluate(run: ProtocolRun, options: Options, command: Command): Promise<ProtocolResult | undefined>;
}
