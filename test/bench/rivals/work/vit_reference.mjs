import {
  gelu,
  geluSlope,
  multiply,
  multiplyLeftTransposed,
  multiplyRightTransposed,
  softmaxRows,
  standardizeRows,
} from "./linear_algebra.mjs";
import { layerNormEpsilon } from "./vit.mjs";

// The transformer of vit.mjs in float64, forward and backward by hand. `p` maps a parameter's name to its values;
// every layer returns its output and a function that takes dy, adds to the gradients `g` and returns dx.

function linear(p, name, x, rows) {
  const [weight, bias] = [p[`${name}.weight`], p[`${name}.bias`]];
  const outputs = bias.length;
  const inputs = weight.length / outputs;
  const y = new Float64Array(rows * outputs);
  for (let r = 0; r < rows; r++) y.set(bias, r * outputs);
  multiply(x, weight, rows, inputs, outputs, y);
  const backward = (dy, g) => {
    g[`${name}.weight`] = multiplyLeftTransposed(x, dy, inputs, rows, outputs);
    g[`${name}.bias`] = columnSums(dy, rows, outputs);
    return multiplyRightTransposed(dy, weight, rows, outputs, inputs);
  };
  return { y, backward };
}

function layerNorm(p, name, x, rows) {
  const [weight, bias] = [p[`${name}.weight`], p[`${name}.bias`]];
  const width = bias.length;
  const { standard, scales } = standardizeRows(x, rows, width, layerNormEpsilon);
  const y = standard.map((value, i) => value * weight[i % width] + bias[i % width]);
  const backward = (dy, g) => {
    g[`${name}.weight`] = columnSums(
      dy.map((value, i) => value * standard[i]),
      rows,
      width,
    );
    g[`${name}.bias`] = columnSums(dy, rows, width);
    const dx = new Float64Array(dy.length);
    for (let r = 0; r < rows; r++) {
      let mean = 0;
      let slope = 0;
      for (let c = 0; c < width; c++) {
        const d = dy[r * width + c] * weight[c];
        mean += d / width;
        slope += (d * standard[r * width + c]) / width;
      }
      for (let c = 0; c < width; c++) {
        const i = r * width + c;
        dx[i] = scales[r] * (dy[i] * weight[c] - mean - standard[i] * slope);
      }
    }
    return dx;
  };
  return { y, backward };
}

function attention(qkv, { batch, tokens, width, heads }) {
  const size = width / heads;
  const scale = 1 / Math.sqrt(size);
  const part = (b, h, which) => {
    const block = new Float64Array(tokens * size);
    for (let t = 0; t < tokens; t++) {
      const first = (b * tokens + t) * 3 * width + which * width + h * size;
      block.set(qkv.subarray(first, first + size), t * size);
    }
    return block;
  };
  const y = new Float64Array(batch * tokens * width);
  const kept = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const [q, k, v] = [0, 1, 2].map((which) => part(b, h, which));
      const scores = multiplyRightTransposed(q, k, tokens, size, tokens).map((score) => score * scale);
      const weights = softmaxRows(scores, tokens, tokens);
      const mixed = multiply(weights, v, tokens, tokens, size);
      for (let t = 0; t < tokens; t++) {
        y.set(mixed.subarray(t * size, (t + 1) * size), (b * tokens + t) * width + h * size);
      }
      kept.push({ b, h, q, k, v, weights });
    }
  }
  const backward = (dy) => {
    const dQkv = new Float64Array(qkv.length);
    for (const { b, h, q, k, v, weights } of kept) {
      const dMixed = new Float64Array(tokens * size);
      for (let t = 0; t < tokens; t++) {
        const first = (b * tokens + t) * width + h * size;
        dMixed.set(dy.subarray(first, first + size), t * size);
      }
      const dWeights = multiplyRightTransposed(dMixed, v, tokens, size, tokens);
      const dScores = softmaxGradient(weights, dWeights, tokens, tokens).map((value) => scale * value);
      const parts = [
        multiply(dScores, k, tokens, tokens, size),
        multiplyLeftTransposed(dScores, q, tokens, tokens, size),
        multiplyLeftTransposed(weights, dMixed, tokens, tokens, size),
      ];
      parts.forEach((values, which) => {
        for (let t = 0; t < tokens; t++) {
          const first = (b * tokens + t) * 3 * width + which * width + h * size;
          dQkv.set(values.subarray(t * size, (t + 1) * size), first);
        }
      });
    }
    return dQkv;
  };
  return { y, backward };
}

/** dx of y = softmax(x) by rows: y (dy - y . dy). */
function softmaxGradient(y, dy, rows, columns) {
  const dx = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    let dot = 0;
    for (let i = r * columns; i < (r + 1) * columns; i++) dot += dy[i] * y[i];
    for (let i = r * columns; i < (r + 1) * columns; i++) dx[i] = y[i] * (dy[i] - dot);
  }
  return dx;
}

function block(p, name, x, shape) {
  const rows = shape.batch * shape.tokens;
  const norm1 = layerNorm(p, `${name}.norm1`, x, rows);
  const qkv = linear(p, `${name}.qkv`, norm1.y, rows);
  const mixed = attention(qkv.y, shape);
  const projection = linear(p, `${name}.projection`, mixed.y, rows);
  const middle = sum(x, projection.y);
  const norm2 = layerNorm(p, `${name}.norm2`, middle, rows);
  const expand = linear(p, `${name}.expand`, norm2.y, rows);
  const contract = linear(p, `${name}.contract`, expand.y.map(gelu), rows);
  const backward = (dy, g) => {
    const dExpand = contract.backward(dy, g).map((value, i) => value * geluSlope(expand.y[i]));
    const dMiddle = sum(dy, norm2.backward(expand.backward(dExpand, g), g));
    const dQkv = mixed.backward(projection.backward(dMiddle, g));
    return sum(dMiddle, norm1.backward(qkv.backward(dQkv, g), g));
  };
  return { y: sum(middle, contract.y), backward };
}

/** Tokens after all blocks and the last norm, `[batch * tokens, width]`. */
export function encode(p, x, shape) {
  const backwards = [];
  let y = x;
  for (let i = 0; i < shape.depth; i++) {
    const layer = block(p, String(i), y, shape);
    backwards.push(layer.backward);
    y = layer.y;
  }
  const norm = layerNorm(p, "norm", y, shape.batch * shape.tokens);
  const backward = (dy, g) => backwards.reduceRight((d, step) => step(d, g), norm.backward(dy, g));
  return { y: norm.y, backward };
}

/** Mean soft-max cross-entropy of the class token, and the gradients of all parameters. */
export function lossAndGradients(p, tokens, labels, shape) {
  const { batch, width, classes } = shape;
  const encoded = encode(p, tokens, shape);
  const stride = shape.tokens * width;
  const classTokens = new Float64Array(batch * width);
  for (let b = 0; b < batch; b++) classTokens.set(encoded.y.subarray(b * stride, b * stride + width), b * width);
  const head = linear(p, "head", classTokens, batch);
  const dLogits = softmaxRows(head.y, batch, classes);
  let loss = 0;
  for (let b = 0; b < batch; b++) {
    loss -= Math.log(dLogits[b * classes + labels[b]]) / batch;
    dLogits[b * classes + labels[b]] -= 1;
  }
  const gradients = () => {
    const g = {};
    const dClass = head.backward(
      dLogits.map((value) => value / batch),
      g,
    );
    const dEncoded = new Float64Array(encoded.y.length);
    for (let b = 0; b < batch; b++) dEncoded.set(dClass.subarray(b * width, (b + 1) * width), b * stride);
    encoded.backward(dEncoded, g);
    return g;
  };
  return { loss, gradients };
}

function columnSums(x, rows, columns) {
  const sums = new Float64Array(columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) sums[c] += x[r * columns + c];
  return sums;
}

function sum(a, b) {
  return Float64Array.from(a, (value, i) => value + b[i]);
}
