import type { Device } from "../core/recording.ts";
import { variantNames } from "../ops/choose_variant.ts";
import knownAdapters from "./known_adapters.json" with { type: "json" };

/** Choices that were measured on one adapter and hold for all of its family. */
export interface AdapterFamily {
  /** For people, such as `lavapipe 25`. */
  readonly family: string;
  /** As the adapter's description states them. */
  readonly vendor: string;
  readonly architecture: string;
  /** What the driver's text must match: a regular expression. */
  readonly driver: string;
  /** Size of every subgroup; null where the adapter has several, or none. */
  readonly subgroupSize: number | null;
  /** Version of the package that measured. */
  readonly version: string;
  /** The variants that were compared, by operation. */
  readonly variants: Readonly<Record<string, readonly string[]>>;
  /** The fastest variant, by key of the tuning table. */
  readonly choices: Readonly<Record<string, string>>;
}

/**
 * The choices of this package for adapters like the device's. Those that name no variant are left out; so are those of an operation
 * with a variant that was not compared then, since it may be the faster one.
 */
export function shippedChoices(
  { info, subgroupSize }: Pick<Device, "info" | "subgroupSize">,
  families: readonly AdapterFamily[] = knownAdapters.families,
): [key: string, choice: string][] {
  const found = families.filter(
    ({ vendor, architecture, driver, ...family }) =>
      vendor === info.vendor &&
      architecture === info.architecture &&
      family.subgroupSize === (subgroupSize ?? null) &&
      new RegExp(driver).test(info.driver),
  );
  return found.flatMap(({ variants, choices }) =>
    Object.entries(choices).filter(([key, choice]) => {
      const [operation = ""] = key.split(" ");
      const names = variantNames(operation);
      return names.includes(choice) && names.every((name) => variants[operation]?.includes(name));
    }),
  );
}
