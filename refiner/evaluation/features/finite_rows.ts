import { EvaluationError } from "../core/errors.ts";

const remedy =
  "the weights are damaged, have diverged, or overflow: see the largest values with mimrefine inspect, or give other weights";
/** Images that a message names. */
const mostNamed = 5;

/** Features of some images are NaN or infinite; none of them were handed out. */
export class NonFiniteFeaturesError extends EvaluationError {
  /**
   * @param places - of these images among those that were given
   * @param names - what to call them
   * @param given - how many there were
   */
  constructor(
    readonly places: readonly number[],
    names: readonly string[],
    given: string,
  ) {
    const more = names.length > mostNamed ? `, … (${names.length})` : "";
    const which = names.slice(0, mostNamed).join(", ") + more;
    super(
      `features: ${places.length} of ${given} ${places.length === 1 ? "has" : "have"} features that are not finite (NaN or infinite): ${which}; ${remedy}`,
    );
  }
}

/**
 * @param rows - per block `[images, width]`
 * @throws NonFiniteFeaturesError if a value of an image is NaN or infinite
 */
export function checkFiniteRows(rows: readonly Float32Array[], images: number): void {
  const places = Array.from({ length: images }, (_, place) => place).filter((place) =>
    rows.some((values) => {
      const width = values.length / images;
      return !values.subarray(place * width, (place + 1) * width).every(Number.isFinite);
    }),
  );
  if (places.length === 0) return;
  const names = places.map((place) => `image ${place}`);
  throw new NonFiniteFeaturesError(places, names, `${images} images given`);
}

/** Counts the images of one pass whose features are not finite, so that an error can name them all. */
export class FiniteRows {
  readonly #found: number[] = [];
  #seen = 0;

  /** @param name - what to call an image of the source */
  constructor(readonly name: (index: number) => string) {}

  /** Whether all features so far are finite. */
  get areFinite(): boolean {
    return this.#found.length === 0;
  }

  /**
   * Waits for features.
   *
   * @param indices - places of the images in the source
   * @returns undefined where some are not finite
   * @throws NonFiniteFeaturesError if none was finite so far: the encoder itself is to blame
   */
  async of<Rows>(indices: readonly number[], read: () => Promise<Rows>): Promise<Rows | undefined> {
    this.#seen += indices.length;
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof NonFiniteFeaturesError)) throw error;
      for (const place of error.places) this.#found.push(indices[place] ?? 0);
      if (this.#found.length === this.#seen) this.check(`the first ${this.#seen} images`);
      return undefined;
    }
  }

  /** @throws NonFiniteFeaturesError */
  check(given = `${this.#seen} images`): void {
    if (!this.areFinite) throw new NonFiniteFeaturesError(this.#found, this.#found.map(this.name), given);
  }
}
