import type { PlainValue } from "../../engine/files/index.ts";

/** What a rule may look at beside the value. */
export interface FeatureContext {
  /** Whether the file holds factors of LayerScale. */
  readonly hasGains: boolean;
}

/** Settings of one feature that changes what a model computes and that its tensors may not show. */
interface FeatureRule {
  /** Last part of the setting's path, in lower case. */
  readonly keys: readonly string[];
  readonly isKnown: (value: PlainValue, context: FeatureContext) => boolean;
  /** What this package's encoder does. */
  readonly known: string;
}

/** Off, in the forms that settings have for it. */
const isOff = (value: PlainValue): boolean =>
  value === null || value === false || value === 0 || value === 0n || value === "" || value === "none";

/**
 * Settings as timm, DINOv2, BEiT, DeiT III, fairseq and transformers call them. A setting that stands in none of these rules
 * is not judged: training scripts store hundreds that are not about the model.
 */
const rules: readonly FeatureRule[] = [
  {
    keys: ["act_layer", "hidden_act", "activation", "activation_fn", "act_fn"],
    // A function of a pickle is its name, such as torch.nn.modules.activation.GELU.
    isKnown: (value) => value === null || (typeof value === "string" && /(^|\.)gelu$/i.test(value)),
    known: "gelu, by the error function",
  },
  {
    keys: ["ffn_layer", "mlp_layer"],
    isKnown: (value) => value === null || (typeof value === "string" && /(^|\.)mlp$/i.test(value)),
    known: "mlp, two linear layers with GELU between",
  },
  {
    keys: ["use_swiglu", "use_swiglu_ffn", "swiglu_mlp", "naiveswiglu", "subln", "scale_mlp", "scale_mlp_norm"],
    isKnown: isOff,
    known: "an MLP of two linear layers with GELU between",
  },
  {
    keys: ["qk_norm", "use_qk_norm", "qk_layernorm", "qk_normalization", "scale_attn_norm"],
    isKnown: isOff,
    known: "queries and keys without norms",
  },
  { keys: ["qk_scale"], isKnown: isOff, known: "scores divided by the root of the head's width" },
  {
    keys: [
      "rel_pos_bias",
      "shared_rel_pos_bias",
      "use_rel_pos",
      "use_rel_pos_bias",
      "use_shared_rel_pos_bias",
      "use_relative_position_bias",
      "use_shared_relative_position_bias",
      "use_alibi_encoder",
    ],
    isKnown: isOff,
    known: "positions that are added to the patches",
  },
  {
    keys: ["rope", "use_rope", "use_rot_pos_emb", "rotary", "rotary_embedding"],
    isKnown: isOff,
    known: "positions that are added to the patches",
  },
  {
    keys: [
      "init_values",
      "layer_scale",
      "layerscale",
      "layer_scale_init_value",
      "layer_scale_init_values",
      "layerscale_value",
      "use_layer_scale",
      "use_layerscale",
    ],
    isKnown: (value, { hasGains }) => hasGains || isOff(value),
    known: "LayerScale by the factors in the file (ls1.gamma or gamma_1), of which it has none",
  },
  {
    keys: ["norm_layer"],
    isKnown: (value) => value === null || (typeof value === "string" && !/rms/i.test(value)),
    known: "LayerNorm",
  },
];

/** Dictionaries in which training code keeps the settings of its model. */
const settings =
  /^(ctor_kwargs|args|model_args|model_kwargs|model_config|pretrained_cfg|config|cfg|hyper_parameters|hparams)\//;

/** Settings of other parts of a model: the other modalities of data2vec, decoders and heads. */
const elsewhere = /(^|\/)(audio|text|\w*decoder\w*|\w*head|criterion|optimizer|task)\//i;

/** Settings that ask for what the encoder cannot do; each as a sentence for a message. */
export function unsupportedFeatures(
  plainValues: ReadonlyMap<string, PlainValue>,
  context: FeatureContext,
): readonly string[] {
  return [...plainValues].flatMap(([path, value]) => {
    if (!settings.test(path) || elsewhere.test(path)) return [];
    const key = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
    const rule = rules.find(({ keys }) => keys.includes(key));
    return rule && !rule.isKnown(value, context)
      ? [`${path} is ${showValue(value)}, but this package's encoder knows only ${rule.known}`]
      : [];
  });
}

function showValue(value: PlainValue): string {
  return typeof value === "bigint" ? String(value) : JSON.stringify(value);
}
