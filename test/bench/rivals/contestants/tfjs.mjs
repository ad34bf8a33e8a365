import { permuted } from "../work/conv.mjs";
import { adamW, images, layerNormEpsilon, parameters, tinyShape, trainBatch, trainShape } from "../work/vit.mjs";
import { finished, openTfjs, openTfjsWasm } from "./tfjs_device.mjs";

/**
 * TensorFlow.js.
 *
 * @param {"webgpu" | "wasm"} backend - WebAssembly computes on the processor itself, in one thread of Node
 */
export async function open(backend) {
  const { tf, adapter, errors } = backend === "wasm" ? await openTfjsWasm() : await openTfjs();
  return { adapter, errors, prepare: (row) => kinds[row.kind](tf, row) };
}

const kinds = {
  matmul: (tf, row) => pure(tf, row, ({ a, b }) => tf.matMul(a, b)),
  softmax: (tf, row) => pure(tf, row, ({ x }) => tf.softmax(x)),
  layernorm: (tf, row) => pure(tf, row, ({ x }) => standardize(tf, x)),
  gelu: (tf, row) => pure(tf, row, ({ x }) => gelu(tf, x)),
  conv2d: (tf, row) => {
    const { x, weight } = row.inputs();
    const inputs = () => ({ x, weight: permuted(weight, [1, 2, 3, 0]) });
    return pure(tf, { inputs }, (given) => tf.conv2d(given.x, given.weight, 1, "same"));
  },
  nearest: (tf, row) =>
    pure(tf, row, ({ queries, bank }) => tf.topk(tf.matMul(queries, bank, false, true), row.k).indices),
  "vit-ti forward": (tf) => {
    const pixels = tf.tensor(images(tinyShape), [tinyShape.batch, 3, tinyShape.pixels, tinyShape.pixels]);
    const p = variables(tf, tinyShape);
    return forward(tf, () => encode(tf, p, embed(tf, p, pixels), tinyShape), [pixels, ...Object.values(p)]);
  },
  "train step": trainStep,
};

function pure(tf, row, compute) {
  const inputs = Object.fromEntries(
    Object.entries(row.inputs()).map(([name, { data, shape }]) => [name, tf.tensor(data, shape)]),
  );
  return forward(tf, () => compute(inputs), Object.values(inputs));
}

function forward(tf, compute, kept) {
  return {
    async run() {
      tf.tidy(compute).dispose();
      await finished(tf);
    },
    async result() {
      const y = tf.tidy(compute);
      const values = await y.data();
      y.dispose();
      return values;
    },
    release: () => tf.dispose(kept),
  };
}

function standardize(tf, x) {
  const { mean, variance } = tf.moments(x, -1, true);
  return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, layerNormEpsilon)));
}

function gelu(tf, x) {
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
}

function variables(tf, shape) {
  return Object.fromEntries(
    parameters(shape).map(({ name, shape: size, data }) => [name, tf.variable(tf.tensor(data, size))]),
  );
}

function linear(tf, p, name, x) {
  return tf.fused.matMul({ a: x, b: p[`${name}.weight`], bias: p[`${name}.bias`] });
}

function layerNorm(tf, p, name, x) {
  return tf.add(tf.mul(standardize(tf, x), p[`${name}.weight`]), p[`${name}.bias`]);
}

function attention(tf, qkv, { batch, tokens, width, heads }) {
  const size = width / heads;
  const split = tf.transpose(tf.reshape(qkv, [batch, tokens, 3, heads, size]), [2, 0, 3, 1, 4]);
  const [q, k, v] = tf.unstack(split, 0);
  const weights = tf.softmax(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(size)));
  return tf.reshape(tf.transpose(tf.matMul(weights, v), [0, 2, 1, 3]), [batch * tokens, width]);
}

/** `x` and the result are `[batch * tokens, width]`, which the fused product wants. */
function encode(tf, p, x, shape) {
  let y = x;
  for (let i = 0; i < shape.depth; i++) {
    const qkv = linear(tf, p, `${i}.qkv`, layerNorm(tf, p, `${i}.norm1`, y));
    y = tf.add(y, linear(tf, p, `${i}.projection`, attention(tf, qkv, shape)));
    const expanded = linear(tf, p, `${i}.expand`, layerNorm(tf, p, `${i}.norm2`, y));
    y = tf.add(y, linear(tf, p, `${i}.contract`, gelu(tf, expanded)));
  }
  return layerNorm(tf, p, "norm", y);
}

function embed(tf, p, pixels) {
  const { batch, tokens, width, patch } = tinyShape;
  const across = tinyShape.pixels / patch;
  const split = tf.reshape(pixels, [batch, 3, across, patch, across, patch]);
  const patches = tf.reshape(tf.transpose(split, [0, 2, 4, 1, 3, 5]), [batch * across * across, 3 * patch * patch]);
  const embedded = tf.reshape(linear(tf, p, "embed", patches), [batch, tokens - 1, width]);
  const withClass = tf.concat([tf.tile(p.class, [batch, 1, 1]), embedded], 1);
  return tf.reshape(tf.add(withClass, p.position), [batch * tokens, width]);
}

function trainStep(tf, row) {
  const { batch, tokens, width, classes } = trainShape;
  const data = trainBatch(trainShape);
  const x = tf.tensor(data.tokens, [batch * tokens, width]);
  const labels = tf.oneHot(tf.tensor1d(data.labels, "int32"), classes);
  const p = variables(tf, trainShape);
  const list = Object.values(p);
  const { learningRate, beta1, beta2, epsilon, weightDecay } = adamW;
  const optimizer = tf.train.adam(learningRate, beta1, beta2, epsilon);
  const loss = () => {
    const encoded = tf.reshape(encode(tf, p, x, trainShape), [batch, tokens, width]);
    const classTokens = tf.reshape(tf.slice(encoded, [0, 0, 0], [batch, 1, width]), [batch, width]);
    return tf.losses.softmaxCrossEntropy(labels, linear(tf, p, "head", classTokens));
  };
  const step = () =>
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss, list);
      for (const variable of list) variable.assign(tf.mul(variable, 1 - learningRate * weightDecay));
      optimizer.applyGradients(grads);
      return value;
    });
  return {
    async run() {
      step().dispose();
      await finished(tf);
    },
    async result() {
      const losses = [];
      for (let i = 0; i < row.steps; i++) {
        const value = step();
        losses.push((await value.data())[0]);
        value.dispose();
      }
      return losses;
    },
    release() {
      optimizer.dispose();
      tf.dispose([x, labels, ...list]);
    },
  };
}
