import type { TuningRequest } from "./recording.ts";
import type { TuningChoices } from "./tuning_choices.ts";

/** Which variant each operation takes for each class of shapes. */
export class TuningTable implements TuningChoices<TuningRequest> {
  readonly #choices = new Map<string, string>();
  readonly #shipped = new Map<string, string>();
  readonly #forced = new Map<string, string>();
  readonly requests = new Map<string, TuningRequest>();

  /** The forced, then the measured, then the shipped variant, else the first candidate; empty if nothing runs. */
  choose(request: TuningRequest): string {
    const { operation, shapeClass, candidates, others } = request;
    const key = tuningKey(operation, shapeClass);
    const runs = (name: string | undefined): name is string =>
      name !== undefined && (candidates.includes(name) || others.includes(name));
    const forced = this.#forced.get(operation);
    if (runs(forced)) return forced;
    this.requests.set(key, request);
    const shipped = this.#shipped.get(key);
    // Kept like a measured one: a run that goes on with another version of the package shall compute the same bytes.
    if (!this.#choices.has(key) && runs(shipped)) this.#choices.set(key, shipped);
    const known = this.#choices.get(key);
    return runs(known) ? known : (candidates[0] ?? others[0] ?? "");
  }

  ship(entries: Iterable<readonly [string, string]>): void {
    for (const [key, choice] of entries) this.#shipped.set(key, choice);
  }

  ships(key: string): boolean {
    return this.#shipped.has(key) && this.#shipped.get(key) === this.#choices.get(key);
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

  /** The variant that an operation is made to use, if any. */
  forced(operation: string): string | undefined {
    return this.#forced.get(operation);
  }

  /** The choices that were measured or taken from those shipped, sorted by key. */
  entries(): [string, string][] {
    return [...this.#choices].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Choices for what was recorded that name no variant of it, as another version may have written them: the built-in ones are taken. */
  unknownChoices(): string[] {
    return [...this.requests].flatMap(([key, { candidates, others }]) => {
      const choice = this.#choices.get(key);
      return choice === undefined || candidates.includes(choice) || others.includes(choice)
        ? []
        : [`${choice} of ${key}`];
    });
  }

  /** Takes over choices such as those of a run's configuration. */
  load(entries: Iterable<readonly [string, string]>): void {
    for (const [key, choice] of entries) this.#choices.set(key, choice);
  }
}

export function tuningKey(operation: string, shapeClass: string): string {
  return `${operation} ${shapeClass}`;
}
