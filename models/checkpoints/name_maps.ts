import { layerScaleNames } from "../parameters.ts";

/** What a stored tensor is for: a parameter, or a part from which parameters are put together. */
export type Role =
  /** The parameter of that published name as it is. */
  | { readonly kind: "parameter"; readonly target: string }
  /** One kind of leading token; the order of the words is the order in the sequence. */
  | { readonly kind: "token"; readonly order: number }
  | { readonly kind: "positions" }
  /** Query, key or value rows of a merged matrix or bias. */
  | { readonly kind: "third"; readonly target: string; readonly third: 0 | 1 | 2 }
  /** A factor per channel behind a branch (LayerScale): folded into the branch's last linear layer, or the parameter `target`. */
  | { readonly kind: "gain"; readonly layer: string; readonly target: string }
  | { readonly kind: "dropped"; readonly reason: string };

type Rule = readonly [pattern: RegExp, role: (match: readonly string[]) => Role];

const thirds = { q: 0, k: 1, v: 2, query: 0, key: 1, value: 2 } as const;

function third(layer: string, word: string, kind: string): Role {
  const index = Object.entries(thirds).find(([name]) => name === word)?.[1] ?? 0;
  return { kind: "third", target: `${layer}.attn.qkv.${kind}`, third: index };
}

/** The authors' and timm's names; DeiT III and BEiT have `gamma_1` and `gamma_2`. */
function gain(block: string, layer: string, name: string): Role {
  return { kind: "gain", layer: `${block}.${layer}`, target: `${block}.${name}` };
}

const parameter =
  (target: (match: readonly string[]) => string) =>
  (match: readonly string[]): Role => ({ kind: "parameter", target: target(match) });

const dropped = (reason: string) => (): Role => ({ kind: "dropped", reason });

/** Why the tensors of a decoder are left out of an encoder. */
export const decoderReason = "decoder of the pre-training";

const decoderRule: Rule = [
  /(^|\.)(mask(ed)?_(token|embed)|decoder\w*|dec_norms|wfm|predictor)(\.|$)/,
  dropped(decoderReason),
];

const headRules: readonly Rule[] = [
  [
    /^(head\w*|fc_norm|classifier|pre_logits|linear|lm_head|pooler)(\.|$)/,
    dropped("classification or projection head"),
  ],
  [/^(relation_blocks\w*|instance_head\w*|group_head\w*|queue\w*)(\.|$)/, dropped("head of the pre-training")],
];

/** Blocks as all families but transformers name them. */
const blockRules: readonly Rule[] = [
  [
    /^(blocks\.\d+)\.(norm[12]\.\w+|attn\.qkv\.\w+|attn\.proj\.\w+|mlp\.fc[12]\.\w+)$/,
    parameter(([, block, rest]) => `${block}.${rest}`),
  ],
  [/^(blocks\.\d+)\.attn\.(q|k|v)_bias$/, ([, block = "", word = ""]) => third(block, word, "bias")],
  [
    /^(blocks\.\d+)\.attn\.(?:to_)?(q|k|v)(?:_proj)?\.(weight|bias)$/,
    ([, block = "", word = "", kind = ""]) => third(block, word, kind),
  ],
  [/^(blocks\.\d+)\.(?:ls1\.gamma|gamma_1)$/, ([, block = ""]) => gain(block, "attn.proj", layerScaleNames.attention)],
  [/^(blocks\.\d+)\.(?:ls2\.gamma|gamma_2)$/, ([, block = ""]) => gain(block, "mlp.fc2", layerScaleNames.mlp)],
];

/** The authors' names, and those of timm, Facebook's MAE, iBOT, dBOT, Mugs, I-JEPA, CrossMAE, layer-grafting. */
const plainRules: readonly Rule[] = [
  [/^(cls_tokens\.tokens|cls_token)$/, () => ({ kind: "token", order: 0 })],
  [/^dist_token$/, () => ({ kind: "token", order: 1 })],
  [/^(reg_token|register_tokens)$/, () => ({ kind: "token", order: 2 })],
  [/^(pos_embed|pos_embed\.embed)$/, () => ({ kind: "positions" })],
  [/^(patch_embed\.proj\.\w+|(?:embed_)?norm\.(?:weight|bias))$/, parameter(([name = ""]) => name)],
  ...blockRules,
  decoderRule,
  ...headRules,
];

/** data2vec 2.0 in fairseq; `decoder` stands deep inside its names. */
const data2vecRules: readonly Rule[] = [
  decoderRule,
  [/^modality_encoders\.IMAGE\.local_encoder\.proj\.(\w+)$/, parameter(([, kind]) => `patch_embed.proj.${kind}`)],
  [/^modality_encoders\.IMAGE\.extra_tokens$/, () => ({ kind: "token", order: 0 })],
  [/^modality_encoders\.IMAGE\.fixed_positional_encoder\.positions$/, () => ({ kind: "positions" })],
  [/^modality_encoders\.IMAGE\.context_encoder\.norm\.(\w+)$/, parameter(([, kind]) => `embed_norm.${kind}`)],
  [/^modality_encoders\.(?!IMAGE\.)/, dropped("encoder of another modality")],
  [/^modality_encoders\.IMAGE\.alibi_scale$/, dropped("not used by the image encoder")],
  [/^_ema(\.|$)/, dropped("average of the training, as the published loader drops it")],
  ...blockRules,
  ...headRules,
];

/** ViT and ViT-MAE in transformers. */
const transformersRules: readonly Rule[] = [
  decoderRule,
  [/^embeddings\.cls_token$/, () => ({ kind: "token", order: 0 })],
  [/^embeddings\.distillation_token$/, () => ({ kind: "token", order: 1 })],
  [/^embeddings\.position_embeddings$/, () => ({ kind: "positions" })],
  [/^embeddings\.patch_embeddings\.projection\.(\w+)$/, parameter(([, kind]) => `patch_embed.proj.${kind}`)],
  [
    /^encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)$/,
    ([, block, word = "", kind = ""]) => third(`blocks.${block}`, word, kind),
  ],
  [
    /^encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)$/,
    parameter(([, block, kind]) => `blocks.${block}.attn.proj.${kind}`),
  ],
  [
    /^encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)$/,
    parameter(([, block, kind]) => `blocks.${block}.mlp.fc1.${kind}`),
  ],
  [/^encoder\.layer\.(\d+)\.output\.dense\.(\w+)$/, parameter(([, block, kind]) => `blocks.${block}.mlp.fc2.${kind}`)],
  [/^encoder\.layer\.(\d+)\.layernorm_before\.(\w+)$/, parameter(([, block, kind]) => `blocks.${block}.norm1.${kind}`)],
  [/^encoder\.layer\.(\d+)\.layernorm_after\.(\w+)$/, parameter(([, block, kind]) => `blocks.${block}.norm2.${kind}`)],
  [/^layernorm\.(\w+)$/, parameter(([, kind]) => `norm.${kind}`)],
  ...headRules,
];

/** What the tensor of that name is for, by the naming scheme that the patch embedding belongs to. */
export function roleOf(anchor: string, name: string): Role | undefined {
  const rules = anchor.startsWith("modality_encoders")
    ? data2vecRules
    : anchor.startsWith("embeddings")
      ? transformersRules
      : plainRules;
  for (const [pattern, role] of rules) {
    const match = pattern.exec(name);
    if (match) return role(match);
  }
  return undefined;
}

/** What to call the family of a file, by the names in it. */
export function familyOf(anchor: string, names: readonly string[], place: string): string {
  const has = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  if (anchor.startsWith("modality_encoders")) return "data2vec 2.0 (fairseq)";
  if (anchor.startsWith("embeddings")) return "transformers ViT";
  if (has(/^(pos_embed\.embed|cls_tokens\.tokens)$/))
    return has(/^embed_norm\./) ? "MIM-Refiner (post-norm)" : "MIM-Refiner (pre-norm)";
  if (has(/^decoder_blocks\.\d+\.cross_attn\./)) return "CrossMAE";
  if (has(/^(decoder_blocks|mask_token)/)) return "MAE (Facebook)";
  if (/target_encoder/.test(place)) return "I-JEPA";
  if (/momentum_encoder/.test(place)) return "layer-grafting";
  if (/teacher|backbone/.test(place)) return "iBOT, dBOT or Mugs";
  return "timm names";
}
