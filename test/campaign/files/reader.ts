import { UsageError } from "../../../cli/program/usage_error.ts";
import { EngineError } from "../../../engine/index.ts";
import { DataError } from "../../../refiner/data/errors.ts";
import { EvaluationError } from "../../../refiner/evaluation/core/errors.ts";
import { ReportError } from "../../../refiner/report/errors.ts";

/** Something that reads a kind of foreign file as the commands do. */
export interface Reader {
  /** Whole files, with which mutations begin. */
  readonly originals: readonly Uint8Array[];
  /** Pieces that the format knows; those of binary files unless given. */
  readonly words?: readonly string[];
  /** Lines of JSON, or one value: half of the files stay such, with another value in one place. */
  readonly isJson?: boolean;
  /** Makes the checksums of a format right again, which half of the files get, and so more often pass the first checks. */
  readonly repaired?: (bytes: Uint8Array) => Uint8Array;
  /**
   * Reads one mutated file.
   *
   * @returns what came out, such as `read`
   * @throws whatever the product throws; WrongResult where a file was taken for another one
   */
  read(bytes: Uint8Array): Promise<string>;
}

/** How to make a reader. */
export interface ReaderRecipe {
  readonly name: string;
  /** Share of all files, relative to the others: readers that take long get fewer. */
  readonly share: number;
  /** @param folder - an empty one of its own */
  readonly open: (folder: string) => Promise<Reader>;
}

/** A file was read without a word, as something that it is not. */
export class WrongResult extends Error {}

const typedErrors = [EngineError, DataError, UsageError, EvaluationError, ReportError] as const;

/** Whether an error is one that callers can catch by its class, and that says what is wrong with the file. */
export function isTyped(error: unknown): error is Error {
  return typedErrors.some((type) => error instanceof type);
}
