import { product, uniform } from "./inputs.mjs";

// One description of the transformer that every contestant builds. Linear layers compute x W + b with W stored [in, out];
// the columns of qkv are q, k, v, each with its heads side by side. Blocks are pre-norm; the class token is row 0.

/** The training step of the table: 65 tokens of width 96 come in, the class token is classified. */
export const trainShape = { batch: 32, tokens: 65, width: 96, depth: 4, heads: 3, classes: 10, hidden: 384 };

/** AdamW as in Loshchilov and Hutter, algorithm 2, with PyTorch's parametrisation; the same for all parameters. */
export const adamW = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 };

/** ViT-Ti/16 on 224 pixels; the result is the normed tokens. */
export const tinyShape = {
  batch: 4,
  tokens: 197,
  width: 192,
  depth: 12,
  heads: 3,
  hidden: 768,
  pixels: 224,
  patch: 16,
};

export const layerNormEpsilon = 1e-5;

/** Parameters in a fixed order: `[{ name, shape, data }]`. */
export function parameters({ tokens, width, depth, hidden, classes, patch }) {
  const list = [];
  const add = (name, shape, scale, centre = 0) =>
    list.push({ name, shape, data: uniform(product(shape), list.length + 101, scale).map((value) => value + centre) });
  const linear = (name, inputs, outputs) => {
    add(`${name}.weight`, [inputs, outputs], Math.sqrt(3 / inputs)); // variance 1 / inputs
    add(`${name}.bias`, [outputs], 0.1);
  };
  const norm = (name) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.1);
  };
  if (patch) {
    linear("embed", 3 * patch * patch, width); // rows: channel, then line, then column of the patch
    add("class", [1, 1, width], 0.1);
    add("position", [1, tokens, width], 0.1);
  }
  for (let i = 0; i < depth; i++) {
    norm(`${i}.norm1`);
    linear(`${i}.qkv`, width, 3 * width);
    linear(`${i}.projection`, width, width);
    norm(`${i}.norm2`);
    linear(`${i}.expand`, width, hidden);
    linear(`${i}.contract`, hidden, width);
  }
  norm("norm");
  if (classes) linear("head", width, classes);
  return list;
}

/** Tokens `[batch, tokens, width]` and labels of the training step: one batch that is repeated. */
export function trainBatch({ batch, tokens, width, classes }) {
  return {
    tokens: uniform(batch * tokens * width, 7),
    labels: Int32Array.from({ length: batch }, (_, i) => (i * 7) % classes),
  };
}

/** Images `[batch, 3, pixels, pixels]` of the forward row. */
export function images({ batch, pixels }) {
  return uniform(batch * 3 * pixels * pixels, 8);
}
