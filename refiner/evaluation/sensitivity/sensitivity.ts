/** A score with one setting changed. */
export interface SensitivityVariant {
  /** Such as `pooling`. */
  readonly setting: string;
  /** What it is instead, such as `avg`. */
  readonly value: string;
  readonly score: number;
}

/**
 * How much a number depends on settings that evaluations differ in: the same features scored with one of them changed at a time.
 * The largest is no result: taking it would be a choice on the test images.
 */
export interface Sensitivity {
  /** The score that is compared. */
  readonly of: string;
  /** With the settings as they were given. */
  readonly base: number;
  readonly variants: readonly SensitivityVariant[];
  /** Of the base and all variants. */
  readonly smallest: number;
  readonly largest: number;
}

/** With the range over all of them. */
export function sensitivityOf(of: string, base: number, variants: readonly SensitivityVariant[]): Sensitivity {
  const scores = [base, ...variants.map(({ score }) => score)];
  return { of, base, variants, smallest: Math.min(...scores), largest: Math.max(...scores) };
}
