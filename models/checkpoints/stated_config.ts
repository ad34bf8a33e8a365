import type { Checkpoint } from "../../engine/files/index.ts";
import type { VitConfig } from "../vit_config.ts";
import type { Claim } from "./claim.ts";
import { UnknownModelError } from "./errors.ts";
import { foreignClaims } from "./foreign_config.ts";
import { readOwnConfig } from "./own_config.ts";
import { unsupportedFeatures } from "./stated_features.ts";

/** What a file says about its model, beside the tensors. */
export interface StatedConfig {
  readonly claims: readonly Claim[];
  /** What it says that this version cannot do, each as a sentence for a message. */
  readonly unsupported: readonly string[];
}

/**
 * What a file says about its model: this package's metadata, or the settings that training code stores.
 *
 * @param hasGains - whether the file holds factors of LayerScale
 * @throws OptionError if the metadata is no JSON object, or a number in it is none
 */
export function statedConfig(checkpoint: Checkpoint, hasGains: boolean, file: string): StatedConfig {
  const own = readOwnConfig(checkpoint.metadata, file);
  const features = unsupportedFeatures(checkpoint.plainValues, { hasGains });
  return {
    claims: own.claims.length > 0 ? own.claims : foreignClaims(checkpoint.plainValues),
    unsupported: [...own.unknown, ...features],
  };
}

/** A number that the file states. */
export function statedNumber({ claims }: StatedConfig, key: keyof VitConfig): number | undefined {
  return claims
    .map((claim) => (claim.key === key ? claim.value : undefined))
    .find((value) => typeof value === "number");
}

/**
 * Compares what a file states with what its tensors are.
 *
 * @param shown - the values that the tensors show
 * @throws UnknownModelError if they differ
 */
export function refuseContradictions(
  { claims }: StatedConfig,
  shown: { readonly [key in keyof VitConfig]?: VitConfig[key] },
  file: string,
): void {
  for (const { key, value, path } of claims) {
    const actual = shown[key];
    if (actual === undefined || actual === value) continue;
    throw new UnknownModelError(
      `${file}: ${path} is ${JSON.stringify(value)}, but by its tensors the encoder has ${key} ${JSON.stringify(actual)}; the entry or the tensors were changed: fetch the file again or correct the entry`,
    );
  }
}

/**
 * @returns warnings about what is left out knowingly
 * @throws UnknownModelError if the file says what the encoder cannot do, unless that is allowed
 */
export function refuseUnsupported(
  { unsupported }: StatedConfig,
  options: { readonly allowLeftOver?: boolean },
  file: string,
): readonly string[] {
  const [first] = unsupported;
  if (first === undefined || options.allowLeftOver) return unsupported;
  const more = unsupported.length > 1 ? ` (and ${unsupported.length - 1} more)` : "";
  throw new UnknownModelError(
    `${file}: ${first}${more}; its features would be wrong: use a plain ViT, or leave the entry out knowingly (--allow-left-over)`,
  );
}
