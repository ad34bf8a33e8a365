import type { Classifier } from "../../../models/index.ts";
import { trainedPositions } from "../../../models/index.ts";
import type { GroupOptions } from "../../training/optimizer.ts";
import { layerDecayFactor } from "../../training/schedule.ts";

/** What decides over the learning rate and the weight decay of each parameter. */
export interface FinetuneGroupOptions {
  readonly layerDecay: number;
  readonly weightDecay: number;
  /** Share of the first blocks that stays as it is, with patch embedding, class token and positions. */
  readonly frozenShare: number;
  /**
   * Fine-tuning as MAE's (`main_finetune.py`) trains the positions and decays neither them nor the class token; VTAB-1K's
   * (vtab1k-pytorch) leaves the positions and decays the class token.
   */
  readonly protocol: "fine-tuning" | "vtab";
}

/** Blocks that a share freezes. */
export function frozenBlocks(frozenShare: number, blocks: number): number {
  return Math.floor(frozenShare * blocks);
}

/** Groups of the parameters of a classifier. Norm of the head and head learn at the full rate. */
export function finetuneGroups(model: Classifier, options: FinetuneGroupOptions): GroupOptions {
  const { layerDecay, weightDecay, frozenShare, protocol } = options;
  const { blocks } = model.config;
  const frozen = frozenBlocks(frozenShare, blocks);
  const tokens = protocol === "vtab" ? [] : ["cls_tokens.tokens", trainedPositions];
  return {
    weightDecay,
    isDecayed: (name, shape) => shape.length > 1 && !name.endsWith(".bias") && !tokens.includes(name),
    scaleOf: (name) => {
      const depth = model.depthOf(name);
      if (frozen > 0 && depth <= frozen) return 0;
      if (protocol === "vtab" && name === trainedPositions) return 0;
      return layerDecayFactor(layerDecay, depth, blocks);
    },
  };
}
