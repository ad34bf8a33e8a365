import type { PlainValue } from "../../engine/files/index.ts";
import type { VitConfig } from "../vit_config.ts";
import type { Claim } from "./claim.ts";

type Names = Readonly<Record<string, keyof VitConfig>>;

/** As transformers' ViTConfig calls them. */
const transformersNames: Names = {
  num_attention_heads: "heads",
  layer_norm_eps: "epsilon",
  patch_size: "patchPixels",
  hidden_size: "width",
  num_hidden_layers: "blocks",
  intermediate_size: "mlpWidth",
};

/** As the authors and timm call the arguments of a model. */
const argumentNames: Names = {
  num_heads: "heads",
  num_attn_heads: "heads",
  eps: "epsilon",
  patch_size: "patchPixels",
  dim: "width",
  embed_dim: "width",
  depth: "blocks",
  mlp_hidden_dim: "mlpWidth",
  num_cls_tokens: "classTokens",
  "input_shape/1": "heightPixels",
  "input_shape/2": "widthPixels",
};

/**
 * Dictionaries of arguments that the model itself was built from. `args` of training scripts is not among them: their `dim` or
 * `depth` may be of anything.
 */
const constructors: readonly (readonly [path: string, names: Names])[] = [
  ["ctor_kwargs", argumentNames],
  ["model_args", argumentNames],
  ["model_kwargs", argumentNames],
  ["args/model_kwargs", argumentNames],
  ["config", transformersNames],
  ["cfg/model", { num_heads: "heads", norm_eps: "epsilon" }], // fairseq; data2vec counts its blocks otherwise
];

/** The values of a config that stand in a PyTorch file beside its tensors. */
export function foreignClaims(plainValues: ReadonlyMap<string, PlainValue>): Claim[] {
  return [...attributeClaims(plainValues), ...constructorClaims(plainValues)];
}

/** Heads as an attribute of the attention of the first block, where a whole model was saved instead of its state dictionary. */
function attributeClaims(plainValues: ReadonlyMap<string, PlainValue>): Claim[] {
  for (const [path, value] of plainValues) {
    const heads = /(^|[/.])blocks\.0\.attn\.num_heads$/.test(path) ? asNumber(value) : undefined;
    if (heads !== undefined) return [{ key: "heads", value: heads, path }];
  }
  return [];
}

function constructorClaims(plainValues: ReadonlyMap<string, PlainValue>): Claim[] {
  return constructors.flatMap(([dictionary, names]) =>
    Object.entries(names).flatMap(([name, key]) => {
      const path = `${dictionary}/${name}`;
      const value = asNumber(plainValues.get(path));
      return value === undefined ? [] : [{ key, value, path }];
    }),
  );
}

function asNumber(value: PlainValue | undefined): number | undefined {
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}
