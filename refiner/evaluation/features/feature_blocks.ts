import { OptionError } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";

/** Where features are read: the raw output of a block (0-based, no norm applied), or the encoder's final output. */
export type FeatureBlock = number | "last";

/**
 * The chosen blocks of an encoder, or all of them: the raw outputs of all but the last block, then the final output.
 *
 * @throws OptionError for none, or one that the encoder does not have
 */
export function featureBlocks({ blocks }: VitConfig, chosen: "all" | readonly FeatureBlock[]): readonly FeatureBlock[] {
  if (chosen === "all") return [...Array(blocks - 1).keys(), "last"];
  if (chosen.length === 0) throw new OptionError("features: no blocks; choose at least one, or all");
  for (const block of chosen) {
    if (block === "last" || (Number.isInteger(block) && block >= 0 && block < blocks)) continue;
    throw new OptionError(`features: block ${block} does not exist; choose from 0 … ${blocks - 1}, or last`);
  }
  return chosen;
}
