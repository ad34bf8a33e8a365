import type { PublishedTable } from "./published_section.ts";

/** A score with its standard error, where it has one. */
export interface ReportedShare {
  /** 0 … 1, or a difference of two such, unless the score is a plain number. */
  readonly value: number;
  readonly standardError: number | null;
}

/** A difference of two scores; `independent`: its error takes them for evaluations of other images each, and is too large if they are not. */
export interface ReportedDifference extends ReportedShare {
  readonly how: "paired" | "independent";
}

/** Evaluations of one encoder or several by one protocol. */
export interface EvaluationReport {
  readonly protocol: string;
  /** What was chosen on which images. */
  readonly selection: string;
  /** In the order of the columns; the first is what the others are compared with. */
  readonly encoders: readonly { readonly name: string; readonly facts: Readonly<Record<string, string>> }[];
  readonly scores: readonly {
    readonly name: string;
    /** `number` for what is no share, such as inertia; default `share`. */
    readonly kind?: "share" | "number";
    /** Per encoder. */
    readonly values: readonly (ReportedShare | undefined)[];
    /** To the first encoder, for each of the others. */
    readonly differences: readonly (ReportedDifference | undefined)[];
  }[];
  /** Numbers of the paper beside these, where it has some for the same images and encoders. */
  readonly published?: readonly PublishedTable[];
  /** What all have in common: settings and images. */
  readonly shared: Readonly<Record<string, string>>;
}
