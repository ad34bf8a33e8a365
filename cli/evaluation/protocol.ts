import type { Command } from "commander";
import type { Sensitivity, TestPredictions } from "../../refiner/evaluation/index.ts";
import type { RunStore, VtabTaskResult } from "../../refiner/index.ts";
import type { EvaluationData } from "../../refiner/report/index.ts";
import type { Output } from "../output/streams.ts";
import type { DataSetOption } from "../program/shared_options.ts";
import type { TouchedPaths } from "../program/touched_paths.ts";
import type { EvaluationJob, JobDecoding, JobImages, JobOptions } from "./evaluation_job.ts";
import type { Score, Selection, UsedPreset } from "./evaluation_line.ts";
import type { ProtocolPresets } from "./protocol_presets.ts";
import type { PublishedHints } from "./published_part.ts";

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
  readonly dataSet: DataSetOption;
  /** Where the protocol takes settings from a file. */
  readonly config?: string;
  /** Where the protocol has variants to score. */
  readonly sensitivity?: boolean;
  /** Where the protocol plans. */
  readonly dryRun?: boolean;
}

/** What a protocol works with: one encoder and its images. */
export interface ProtocolRun extends EvaluationJob {
  /** Where the protocol may leave files: the folder of `--out`, else memory. */
  readonly store: RunStore;
  /** Whether the store holds a run of the same settings to go on with. */
  readonly resume: boolean;
  /** Whether there will be a page, of this encoder or of two, so that pictures for it are wanted. */
  readonly hasPage: boolean;
  /** Whether this is the second encoder of a comparison: files that options name are those of the first. */
  readonly isSecond: boolean;
  /** Tells that the user wants the command to end. */
  readonly signal: AbortSignal;
  readonly output: Output;
}

/** What scores are means over: by their names, of every test image the share of runs that are right; or the tasks of VTAB-1k. */
export type ScoreParts =
  | { readonly kind: "shares"; readonly shares: ReadonlyMap<string, Float64Array> }
  | { readonly kind: "tasks"; readonly tasks: readonly VtabTaskResult[] };

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
  /** What its scores are means over, for a comparison part by part. */
  readonly parts?: ScoreParts;
  /** How much the main number depends on single settings; with `--sensitivity`. */
  readonly sensitivity?: Sensitivity | undefined;
  /** Where the protocol chose one by itself. */
  readonly preset?: UsedPreset | undefined;
  /** What published numbers to stand beside need to know. */
  readonly published?: PublishedHints;
  /** Writes `--predictions` where an image has more than one. */
  readonly writePredictions?: (path: string) => Promise<void>;
  /** For the page, where the run has one. */
  readonly shown?: Partial<EvaluationData>;
}

/** What a protocol plans for. */
export type PlannedProtocolRun = EvaluationJob & Pick<ProtocolRun, "output" | "resume">;

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
  /** Values of its options by `--preset`; protocols whose presets depend on the images have an option of their own. */
  readonly presets?: ProtocolPresets;
  /** Its own options. Names that other commands have come from `sharedOption`. */
  addOptions(command: Command): void;
  /** What it reads and writes beside what all protocols do, by the options that name it; checked before anything is opened. */
  touched?(options: Options): Pick<TouchedPaths, "reads" | "writes">;
  /** Fills in what follows from other options, and is called for each encoder of a comparison alike. @throws UsageError */
  complete?(options: Options): Options;
  /**
   * Checks its options before anything is opened.
   *
   * @throws UsageError
   */
  check?(options: Options, command: Command): Promise<void>;
  /**
   * Opens its images where they are not simply those of `--images` and `--test`, which undefined stands for. Adds what it opened
   * to `open`.
   */
  openImages?(
    options: Options,
    decoding: JobDecoding,
    open: { close?(): Promise<void> }[],
    output: Output,
  ): Promise<JobImages | undefined>;
  /** Whether something is fitted to training images; default: yes. */
  fits?(options: Options): boolean;
  /**
   * Digests of what it reads beside images, weights and settings files, by words for messages: a run that goes on is compared with what
   * it began with.
   */
  digests?(job: EvaluationJob, options: Options): Promise<Readonly<Record<string, string>>>;
  /** Tells what it will take, before anything is written. @returns whether it is to be done */
  plan?(run: PlannedProtocolRun, options: Options, command: Command): Promise<boolean>;
  /** @returns undefined if the signal ended it early */
  evaluate(run: ProtocolRun, options: Options, command: Command): Promise<ProtocolResult | undefined>;
}
