import { BrokenImageError, DataOptionError, TooManyBrokenImagesError } from "../errors.ts";

/** Largest accepted share of broken images. */
export const defaultMaxBad = 0.01;
/** A list that a user can work through; more are as broken as a data set can be. */
const mostLookedFor = 1000;

export interface BrokenImagesOptions {
  /** Largest accepted share of broken images, 0 … 1. */
  readonly maxBad?: number;
  /** Called once for each image found broken. */
  readonly onBroken?: (error: BrokenImageError, index: number) => void;
  /**
   * Whether to look for more (up to 1000) once there are more than `maxBad` accepts, so that all can be repaired together; `check`
   * is then to be called at the end. Default: the first one too many is the last.
   */
  readonly lookOn?: boolean;
}

/** Counts the broken images of one data set; share it between epochs so that each is reported and tried once. */
export class BrokenImages {
  readonly #total: number;
  readonly #maxBad: number;
  readonly #onBroken: BrokenImagesOptions["onBroken"];
  readonly #lookOn: boolean;
  /** Place of the first image within the whole that is counted. */
  #first = 0;
  #errors = new Map<number, BrokenImageError>();

  /**
   * @param total - images of the data set, of which `maxBad` is a share; above 0 it accepts one image of few
   * @throws DataOptionError if maxBad is no share
   */
  constructor(total: number, options: BrokenImagesOptions = {}) {
    this.#total = total;
    this.#maxBad = options.maxBad ?? defaultMaxBad;
    this.#onBroken = options.onBroken;
    this.#lookOn = options.lookOn ?? false;
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

  /** Whether more are broken than is accepted. */
  get areTooMany(): boolean {
    // 0.07 of 100 is a little more than 7 in floating point, and must not be less.
    const accepted = Math.floor(this.#maxBad * this.#total + 1e-6);
    return this.count > (this.#maxBad > 0 ? Math.max(1, accepted) : 0);
  }

  has(index: number): boolean {
    return this.#errors.has(this.#first + index);
  }

  /** Counts here the images of one part, whose first is image `first` of the whole. */
  part(first: number): BrokenImages {
    const part = new BrokenImages(this.#total, {
      maxBad: this.#maxBad,
      lookOn: this.#lookOn,
      ...(this.#onBroken ? { onBroken: this.#onBroken } : {}),
    });
    part.#first = this.#first + first;
    part.#errors = this.#errors;
    return part;
  }

  /**
   * Counts a broken image.
   *
   * @throws the error itself unless it is a BrokenImageError
   * @throws TooManyBrokenImagesError above the accepted share
   */
  add(index: number, error: unknown): void {
    if (!(error instanceof BrokenImageError)) throw error;
    if (this.has(index)) return;
    this.#errors.set(this.#first + index, error);
    this.#onBroken?.(error, this.#first + index);
    if (!this.#lookOn || this.count >= mostLookedFor) this.check();
  }

  /** @throws TooManyBrokenImagesError above the accepted share */
  check(): void {
    if (this.areTooMany) throw new TooManyBrokenImagesError(this.errors, this.#total, this.#maxBad);
  }
}
