import { BrokenImageError, DataOptionError, TooManyBrokenImagesError } from "../errors.ts";

/** Largest accepted share of broken images. */
export const defaultMaxBad = 0.01;

export interface BrokenImagesOptions {
  /** Largest accepted share of broken images, 0 … 1. */
  readonly maxBad?: number;
  /** Called once for each image found broken. */
  readonly onBroken?: (error: BrokenImageError, index: number) => void;
}

/** Counts the broken images of one data set; share it between epochs so that each is reported and tried once. */
export class BrokenImages {
  readonly #total: number;
  readonly #maxBad: number;
  readonly #onBroken: BrokenImagesOptions["onBroken"];
  readonly #errors = new Map<number, BrokenImageError>();

  /**
   * @param total - images of the data set, of which `maxBad` is a share
   * @throws DataOptionError if maxBad is no share
   */
  constructor(total: number, options: BrokenImagesOptions = {}) {
    this.#total = total;
    this.#maxBad = options.maxBad ?? defaultMaxBad;
    this.#onBroken = options.onBroken;
    if (!(this.#maxBad >= 0 && this.#maxBad <= 1)) {
      throw new DataOptionError(`load: maxBad is ${this.#maxBad}; give a share from 0 to 1, such as 0.01 for 1 %`);
    }
  }

  get count(): number {
    return this.#errors.size;
  }

  get errors(): readonly BrokenImageError[] {
    return [...this.#errors.values()];
  }

  has(index: number): boolean {
    return this.#errors.has(index);
  }

  /**
   * Counts a broken image.
   *
   * @throws the error itself unless it is a BrokenImageError
   * @throws TooManyBrokenImagesError above the accepted share
   */
  add(index: number, error: unknown): void {
    if (!(error instanceof BrokenImageError)) throw error;
    if (this.#errors.has(index)) return;
    this.#errors.set(index, error);
    this.#onBroken?.(error, index);
    if (this.count > this.#maxBad * this.#total) {
      throw new TooManyBrokenImagesError(this.errors, this.#total, this.#maxBad);
    }
  }
}
