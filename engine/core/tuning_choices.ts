/**
 * Which variant each operation takes for each class of shapes.
 *
 * @typeParam Request - what an operation asks for
 */
export interface TuningChoices<Request> {
  /** What was asked for, by key. */
  readonly requests: Map<string, Request>;
  /** The forced, then the measured, then the shipped variant, else the first candidate; empty if nothing runs. */
  choose(request: Request): string;
  has(key: string): boolean;
  /** States choices that hold where nothing was measured; they become entries once they are taken. */
  ship(entries: Iterable<readonly [string, string]>): void;
  /** Whether the choice for a key was taken from those shipped. */
  ships(key: string): boolean;
  set(key: string, choice: string): void;
  /** Makes an operation use one variant wherever that can run; undefined lets it choose again. */
  force(operation: string, variant: string | undefined): void;
  /** The variant that an operation is made to use, if any. */
  forced(operation: string): string | undefined;
  /** The choices that were measured or taken from those shipped, sorted by key. */
  entries(): [string, string][];
  /** Choices for what was asked for that name no variant of it. */
  unknownChoices(): string[];
  /** Takes over choices such as those of a run's configuration. */
  load(entries: Iterable<readonly [string, string]>): void;
}
