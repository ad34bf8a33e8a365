import { conv2d } from "./conv.mjs";
import { input } from "./inputs.mjs";
import { gelu, multiply, softmaxRows, standardizeRows } from "./linear_algebra.mjs";
import { adamW, images, layerNormEpsilon, parameters, tinyShape, trainBatch, trainShape } from "./vit.mjs";
import { encode, lossAndGradients } from "./vit_reference.mjs";

/**
 * The rows of the table. Each has `work` (its name), `kind` (what a contestant implements), `inputs()` where the kind
 * takes arrays, `reference()` (float64) and `error(result, reference)`, the largest deviation, to be at most `bound`.
 * `extras` names rivals beyond those that every row has.
 */
export const rows = [
  matmul("matmul 256", 1, 256, 256, 256),
  { ...matmul("matmul 512", 1, 512, 512, 512), extras: ["onnxruntime"] },
  matmul("matmul 1024", 1, 1024, 1024, 1024),
  matmul("matmul 1576x192x576", 1, 1576, 192, 576),
  matmul("matmul 1576x192x768", 1, 1576, 192, 768),
  matmul("matmul 1576x768x192", 1, 1576, 768, 192),
  matmul("batched matmul", 24, 197, 64, 197),
  rowwise("softmax", [4728, 197], 4, (x, [count, columns]) => softmaxRows(x, count, columns)),
  rowwise("layernorm", [1576, 192], 4, layerNormReference),
  rowwise("gelu", [1576, 768], 4, (x) => Float64Array.from(x, gelu)),
  conv(8, 56, 64, 64),
  trainStep(),
  nearest(64, 65536, 256, 20),
  tinyForward(),
];

function matmul(work, batch, m, k, n) {
  const inputs = () => ({ a: input([batch, m, k], 1), b: input([batch, k, n], 2) });
  const reference = () => {
    const { a, b } = inputs();
    const c = new Float64Array(batch * m * n);
    for (let i = 0; i < batch; i++) {
      const left = a.data.subarray(i * m * k, (i + 1) * m * k);
      multiply(left, b.data.subarray(i * k * n, (i + 1) * k * n), m, k, n, c.subarray(i * m * n, (i + 1) * m * n));
    }
    return c;
  };
  // |a b| <= 1 per product: k products and k sums, each off by half a unit of a partial sum that is at most k (in truth about sqrt(k)).
  return { work, kind: "matmul", inputs, reference, error: largestDifference, bound: 2 * k * Math.sqrt(k) * 2 ** -24 };
}

function rowwise(work, shape, scale, compute) {
  const inputs = () => ({ x: input(shape, 3, scale) });
  const reference = () => compute(inputs().x.data, shape);
  // Values up to 4; WGSL allows exp an error of 3 + 2 |x| units and rivals' erf is a polynomial good to 1.5e-7.
  return { work, kind: work, inputs, reference, error: largestDifference, bound: 2e-6 * scale };
}

function layerNormReference(x, [count, columns]) {
  const { standard } = standardizeRows(x, count, columns, layerNormEpsilon);
  return standard;
}

/** A kernel of 3 × 3 taps, zeros around the image. Each contestant is given its own order of axes, and its result is put into ours. */
function conv(images, side, channels, outputs) {
  const inputs = () => ({ x: input([images, side, side, channels], 6), weight: input([outputs, 3, 3, channels], 7) });
  const reference = () => {
    const { x, weight } = inputs();
    return conv2d(x, weight);
  };
  const depth = 9 * channels; // bound as in matmul
  const bound = 2 * depth * Math.sqrt(depth) * 2 ** -24;
  return {
    work: "conv2d 3x3",
    kind: "conv2d",
    extras: ["onnxruntime"],
    inputs,
    reference,
    error: largestDifference,
    bound,
  };
}

function trainStep() {
  const steps = 3;
  const reference = () => {
    const batch = trainBatch(trainShape);
    const p = Object.fromEntries(parameters(trainShape).map(({ name, data }) => [name, Float64Array.from(data)]));
    const moments = Object.fromEntries(
      Object.entries(p).map(([name, { length }]) => [name, [new Float64Array(length), new Float64Array(length)]]),
    );
    const losses = [];
    for (let step = 1; step <= steps; step++) {
      const { loss, gradients } = lossAndGradients(p, Float64Array.from(batch.tokens), batch.labels, trainShape);
      losses.push(loss);
      if (step < steps) update(p, gradients(), moments, step);
    }
    return losses;
  };
  // The losses of three steps show the gradients and the optimiser, too: each step moves them by far more than this.
  return {
    work: "train step",
    kind: "train step",
    steps,
    extras: ["jax-js wasm"],
    reference,
    error: relative,
    bound: 1e-3,
  };
}

function update(p, g, moments, step) {
  const { learningRate, beta1, beta2, epsilon, weightDecay } = adamW;
  for (const [name, values] of Object.entries(p)) {
    const [first, second] = moments[name];
    for (let i = 0; i < values.length; i++) {
      first[i] += (1 - beta1) * (g[name][i] - first[i]);
      second[i] += (1 - beta2) * (g[name][i] ** 2 - second[i]);
      const direction = first[i] / (1 - beta1 ** step) / (Math.sqrt(second[i] / (1 - beta2 ** step)) + epsilon);
      values[i] -= learningRate * (direction + weightDecay * values[i]);
    }
  }
}

function nearest(queries, entries, width, k) {
  const inputs = () => ({ queries: input([queries, width], 4), bank: input([entries, width], 5) });
  const similarities = () => {
    const { queries: q, bank } = inputs();
    const all = new Float64Array(queries * entries);
    for (let i = 0; i < queries; i++) {
      for (let j = 0; j < entries; j++) {
        let dot = 0;
        for (let c = 0; c < width; c++) dot += q.data[i * width + c] * bank.data[j * width + c];
        all[i * entries + j] = dot;
      }
    }
    return all;
  };
  // Indices are right if the entries they name have, rank by rank, the similarities of the true top k.
  const error = (indices, all) => {
    let largest = 0;
    for (let i = 0; i < queries; i++) {
      const row = all.subarray(i * entries, (i + 1) * entries);
      const best = row.toSorted().reverse();
      const named = new Set(indices.subarray(i * k, (i + 1) * k));
      if (named.size !== k) return Infinity;
      [...named].forEach((index, rank) => {
        largest = Math.max(largest, Math.abs((row[index] ?? Infinity) - best[rank]));
      });
    }
    return largest;
  };
  const bound = 2 * width * Math.sqrt(width) * 2 ** -24; // two similarities this close may change places; as in matmul
  return { work: "nearest", kind: "nearest", k, inputs, reference: similarities, error, bound };
}

function tinyForward() {
  const reference = () => {
    const p = Object.fromEntries(parameters(tinyShape).map(({ name, data }) => [name, Float64Array.from(data)]));
    return encode(p, embed(p, images(tinyShape), tinyShape), tinyShape).y;
  };
  // Normed tokens of size 1 after 12 blocks, whose roundings add up like a random walk; a wrong layer is off by about 1.
  return {
    work: "vit-ti forward",
    kind: "vit-ti forward",
    extras: ["onnxruntime"],
    reference,
    error: largestDifference,
    bound: 1e-3,
  };
}

function embed(p, pixels, { batch, tokens, width, pixels: side, patch }) {
  const across = side / patch;
  const size = 3 * patch * patch;
  const patches = Float64Array.from({ length: batch * across * across * size }, (_, i) => {
    const [patchIndex, inside] = [Math.floor(i / size), i % size]; // rows: image, then patch; columns: channel, line, column
    const b = Math.floor(patchIndex / across ** 2);
    const c = Math.floor(inside / patch ** 2);
    const y = (Math.floor(patchIndex / across) % across) * patch + (Math.floor(inside / patch) % patch);
    const x = (patchIndex % across) * patch + (inside % patch);
    return pixels[((b * 3 + c) * side + y) * side + x];
  });
  const embedded = multiply(patches, p["embed.weight"], batch * across * across, size, width);
  const out = new Float64Array(batch * tokens * width);
  for (let i = 0; i < out.length; i++) {
    const [b, t, c] = [Math.floor(i / (tokens * width)), Math.floor(i / width) % tokens, i % width];
    const value = t === 0 ? p.class[c] : embedded[(b * (tokens - 1) + t - 1) * width + c] + p["embed.bias"][c];
    out[i] = value + p.position[t * width + c];
  }
  return out;
}

function largestDifference(result, reference) {
  if (result.length !== reference.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < result.length; i++) {
    const difference = Math.abs(result[i] - reference[i]);
    if (!(difference <= largest)) largest = difference; // written so that NaN is kept
    if (Number.isNaN(largest)) return Infinity;
  }
  return largest;
}

function relative(result, reference) {
  return Math.max(...reference.map((value, i) => Math.abs(result[i] - value) / Math.abs(value)));
}
