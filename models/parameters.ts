import type { ArenaEntry } from "../engine/index.ts";
import type { LayerScale, VitConfig } from "./vit_config.ts";

/**
 * How a parameter starts: `xavier` is uniform over its fan in and out, `qkv` the same for three stacked matrices, `layer-scale`
 * one small number, `head` the weight of a classifier's head.
 */
export type Initialization = "xavier" | "qkv" | "zeros" | "ones" | "token" | "layer-scale" | "head";

export interface ParameterEntry extends ArenaEntry {
  readonly initialization: Initialization;
  /** Depth for layer-wise learning-rate decay: 0 embedding, j + 1 block j, blocks + 1 the last norm. */
  readonly depth: number;
}

/** Parameters of a ViT under the names of the authors' published state dictionaries, in their order. */
export function vitParameters(config: VitConfig): ParameterEntry[] {
  const { width, patchPixels, channels, classTokens, kind, blocks } = config;
  const entries: ParameterEntry[] = [
    {
      name: "patch_embed.proj.weight",
      shape: [width, channels, patchPixels, patchPixels],
      initialization: "xavier",
      depth: 0,
    },
    { name: "patch_embed.proj.bias", shape: [width], initialization: "zeros", depth: 0 },
  ];
  if (classTokens > 0)
    entries.push({ name: "cls_tokens.tokens", shape: [1, classTokens, width], initialization: "token", depth: 0 });
  if (kind === "postnorm") entries.push(...normParameters("embed_norm", width, 0));
  for (let j = 0; j < blocks; j++)
    entries.push(...blockParameters(`blocks.${j}`, width, config.mlpWidth, j + 1, config.layerScale));
  if (kind === "prenorm") entries.push(...normParameters("norm", width, blocks + 1));
  return entries;
}

/** Parameters of one transformer block. */
export function blockParameters(
  prefix: string,
  width: number,
  mlpWidth: number,
  depth: number,
  layerScale: LayerScale = "none",
): ParameterEntry[] {
  const gammas = layerScale === "parameters" ? [layerScaleNames.attention, layerScaleNames.mlp] : [];
  return [
    ...normParameters(`${prefix}.norm1`, width, depth),
    ...linearParameters(`${prefix}.attn.qkv`, width, 3 * width, depth, "qkv"),
    ...linearParameters(`${prefix}.attn.proj`, width, width, depth),
    ...normParameters(`${prefix}.norm2`, width, depth),
    ...linearParameters(`${prefix}.mlp.fc1`, width, mlpWidth, depth),
    ...linearParameters(`${prefix}.mlp.fc2`, mlpWidth, width, depth),
    ...gammas.map((name) => ({
      name: `${prefix}.${name}`,
      shape: [width],
      initialization: "layer-scale" as const,
      depth,
    })),
  ];
}

/** Names of the factors behind attention and MLP inside a block, as DINOv2 and timm have them. */
export const layerScaleNames = { attention: "ls1.gamma", mlp: "ls2.gamma" } as const;

export function linearParameters(
  name: string,
  inputs: number,
  outputs: number,
  depth: number,
  initialization: Initialization = "xavier",
): ParameterEntry[] {
  return [
    { name: `${name}.weight`, shape: [outputs, inputs], initialization, depth },
    { name: `${name}.bias`, shape: [outputs], initialization: "zeros", depth },
  ];
}

export function normParameters(name: string, width: number, depth: number): ParameterEntry[] {
  return [
    { name: `${name}.weight`, shape: [width], initialization: "ones", depth },
    { name: `${name}.bias`, shape: [width], initialization: "zeros", depth },
  ];
}

/** Number of elements of all entries. */
export function countParameters(entries: readonly ArenaEntry[]): number {
  return entries.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0);
}
