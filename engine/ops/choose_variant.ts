import { OptionError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../core/recording.ts";
import type { Tensor } from "../core/tensor.ts";

/** One way to run an operation. All variants of an operation give the same values up to the order of additions. */
export interface Variant<Problem> {
  readonly name: string;
  /** Why it cannot run, or undefined. A variant without this runs everywhere. */
  unsupported?(device: Device, problem: Problem): string | undefined;
}

/**
 * What an operation says of its variants.
 *
 * @typeParam Problem - the sizes and types that a choice depends on; no tensors, since requests outlive their programs
 */
export interface VariantChoice<Problem, V extends Variant<Problem>> {
  /** Name in the tuning table. */
  readonly operation: string;
  readonly variants: readonly V[];
  /** Names of the variants that are worth a measurement, best guess first; those that cannot run are left out. */
  order(device: Device, problem: Problem): readonly string[];
  /**
   * Why a variant adds in another order than the canonical one of the operation, or undefined: those that obey it give the same bits, and
   * are the only ones that a reproducible device takes.
   */
  deviates(variant: V, problem: Problem): string | undefined;
  /** Problems of one class share one measurement; see {@link bucket}. */
  shapeClass(problem: Problem): string;
  /** Records the operation on inputs of its own, for a measurement. @returns its results */
  example(program: Program, variant: V, problem: Problem): readonly Tensor[];
}

/** Names of all variants by operation; filled while the modules of the operations load. */
const declared = new Map<string, readonly string[]>();

/** All variants of an operation, whether they run here or not; none for an operation without variants. */
export function variantNames(operation: string): readonly string[] {
  return declared.get(operation) ?? [];
}

/** Names of the operations that have variants. */
export function operationsWithVariants(): string[] {
  return [...declared.keys()].sort();
}

/**
 * Declares the variants of an operation.
 *
 * @returns the variant that a device takes for a problem: forced, else measured, else the first of the built-in order that runs;
 *   it throws an OptionError where the forced name belongs to no variant or none runs
 */
export function defineVariants<Problem, V extends Variant<Problem>>(
  choice: VariantChoice<Problem, V>,
): (device: Device, problem: Problem) => V {
  const { operation, variants } = choice;
  declared.set(
    operation,
    variants.map(({ name }) => name),
  );
  return (device, problem) => {
    const forced = device.tuning.forced(operation);
    if (forced !== undefined && !variants.some(({ name }) => name === forced)) {
      throw new OptionError(`${operation}: no variant is called ${forced}; choose from ${listed(variants)}`);
    }
    const obstacle = (variant: V): string | undefined =>
      variant.unsupported?.(device, problem) ??
      (device.reproducible ? irreproducible(choice, variant, problem) : undefined);
    const runnable = variants.filter((variant) => obstacle(variant) === undefined);
    const names = runnable.map(({ name }) => name);
    const guesses = choice.order(device, problem).filter((name) => names.includes(name));
    // The guesses of an operation may all deviate from its canonical order.
    const candidates = guesses.length === 0 && device.reproducible ? names : guesses;
    const find = (wanted: string): V => {
      const found = runnable.find(({ name }) => name === wanted);
      if (found) return found;
      const refused = variants.find(({ name }) => name === wanted);
      const reason = refused && obstacle(refused);
      throw new OptionError(
        `${operation}: variant ${wanted} does not run here${reason ? ` (${reason})` : ""}; choose from ${listed(runnable)}`,
      );
    };
    return find(
      device.tuning.choose({
        operation,
        shapeClass: choice.shapeClass(problem),
        candidates,
        others: names.filter((name) => !candidates.includes(name)),
        example: (program, name) => choice.example(program, find(name), problem),
      }),
    );
  };
}

function irreproducible<Problem, V extends Variant<Problem>>(
  { deviates }: VariantChoice<Problem, V>,
  variant: V,
  problem: Problem,
): string | undefined {
  const reason = deviates(variant, problem);
  return reason && `${reason}, which the reproducible mode does not admit`;
}

function listed(variants: readonly { readonly name: string }[]): string {
  return variants.map(({ name }) => name).join(", ") || "none";
}

/** Lengths that round up to the same power of two share one measurement. */
export function bucket(length: number): number {
  return 2 ** Math.ceil(Math.log2(length));
}
