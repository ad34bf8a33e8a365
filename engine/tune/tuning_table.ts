import type { Program } from "../core/program.ts";

/** A choice that an operation made while it was recorded, with a way to measure it. */
export interface TuningRequest {
  readonly operation: string;
  readonly shapeClass: string;
  readonly candidates: readonly string[];
  /** Records just this operation with the given candidate, on inputs of its own. */
  readonly example?: (program: Program, candidate: string) => void;
}

/** Which variant each operation takes for each class of shapes. */
export class TuningTable {
  readonly #choices = new Map<string, string>();
  readonly #forced = new Map<string, string>();
  readonly requests = new Map<string, TuningRequest>();

  /** The forced, then the measured variant, else the first candidate. */
  choose(request: TuningRequest): string {
    const key = tuningKey(request.operation, request.shapeClass);
    const { candidates } = request;
    const [first] = candidates;
    const forced = this.#forced.get(request.operation);
    if (forced !== undefined && candidates.includes(forced)) return forced;
    if (request.example) this.requests.set(key, request);
    const known = this.#choices.get(key);
    return (known !== undefined && candidates.includes(known) ? known : first) ?? "";
  }

  has(key: string): boolean {
    return this.#choices.has(key);
  }

  set(key: string, choice: string): void {
    this.#choices.set(key, choice);
  }

  /** Makes an operation use one variant wherever that can run; undefined lets it choose again. */
  force(operation: string, variant: string | undefined): void {
    if (variant === undefined) this.#forced.delete(operation);
    else this.#forced.set(operation, variant);
  }

  /** The measured choices, sorted by key. */
  entries(): [string, string][] {
    return [...this.#choices].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Takes over choices such as those of a run's configuration. */
  load(entries: Iterable<readonly [string, string]>): void {
    for (const [key, choice] of entries) this.#choices.set(key, choice);
  }
}

export function tuningKey(operation: string, shapeClass: string): string {
  return `${operation} ${shapeClass}`;
}
