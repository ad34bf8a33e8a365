import { channelsFirst, channelsLast } from "../work/conv.mjs";
import { adamW, images, layerNormEpsilon, parameters, tinyShape, trainBatch, trainShape } from "../work/vit.mjs";
import { installBrowserGlobals } from "./dawn.mjs";

let jax;
let np;

/**
 * jax-js, every row under `jit`. An array is consumed by the function that takes it; `.ref` keeps it for another use.
 *
 * @param {"webgpu" | "wasm"} device
 */
export async function open(device) {
  const { adapter, errors } = await installBrowserGlobals(); // before the import, which reads navigator.userAgent
  jax = await import("@jax-js/jax");
  np = jax.numpy;
  const started = await jax.init(device);
  if (!started.includes(device)) throw new Error(`jax-js cannot start its ${device} backend`);
  jax.defaultDevice(device);
  const finished = device === "webgpu" ? queueEmpty : (arrays) => jax.blockUntilReady(arrays);
  const prepare = (row) => kinds[row.kind](row, finished);
  return { adapter: device === "webgpu" ? adapter : undefined, errors, prepare };
}

const kinds = {
  matmul: (row, finished) => pure(row, finished, ({ a, b }) => np.matmul(a, b)),
  softmax: (row, finished) => pure(row, finished, ({ x }) => jax.nn.softmax(x)),
  layernorm: (row, finished) => pure(row, finished, ({ x }) => standardize(x)),
  gelu: (row, finished) => pure(row, finished, ({ x }) => jax.nn.gelu(x, { approximate: false })),
  conv2d: (row, finished) => {
    const given = row.inputs();
    const compute = ({ x, weight }) => jax.lax.convGeneralDilated(x, weight, [1, 1], "SAME");
    return channelsLast(pure({ inputs: () => channelsFirst(given) }, finished, compute), given);
  },
  nearest: (row, finished) =>
    pure(row, finished, ({ queries, bank }) => {
      const [values, indices] = jax.lax.topK(np.matmul(queries, np.transpose(bank)), row.k);
      values.dispose();
      return indices;
    }),
  "vit-ti forward": (_, finished) => {
    const { batch, pixels } = tinyShape;
    const x = np.array(images(tinyShape), { shape: [batch, 3, pixels, pixels] });
    return forward({ x, p: tensors(tinyShape) }, finished, ({ x, p }) => {
      const y = encode(p, embed(p, x), tinyShape);
      jax.tree.dispose(p);
      return y;
    });
  },
  "train step": trainStep,
};

/** The queue is waited for itself: blockUntilReady resolves when the commands are submitted. */
async function queueEmpty(arrays) {
  await jax.blockUntilReady(arrays);
  await jax.getWebGPUDevice().queue.onSubmittedWorkDone();
}

function pure(row, finished, compute) {
  const inputs = Object.fromEntries(
    Object.entries(row.inputs()).map(([name, { data, shape }]) => [name, np.array(data, { shape })]),
  );
  return forward(inputs, finished, compute);
}

function forward(inputs, finished, compute) {
  const compiled = jax.jit(compute);
  return {
    async run() {
      const y = compiled(jax.tree.ref(inputs));
      await finished(y);
      y.dispose();
    },
    result: () => compiled(jax.tree.ref(inputs)).data(),
    release() {
      compiled.dispose();
      jax.tree.dispose(inputs);
    },
  };
}

function standardize(x) {
  return jax.nn.standardize(x, -1, { epsilon: layerNormEpsilon });
}

function tensors(shape) {
  return Object.fromEntries(
    parameters(shape).map(({ name, shape: size, data }) => [name, np.array(data, { shape: size })]),
  );
}

function linear(p, name, x) {
  return np.matmul(x, p[`${name}.weight`].ref).add(p[`${name}.bias`].ref);
}

function layerNorm(p, name, x) {
  return standardize(x).mul(p[`${name}.weight`].ref).add(p[`${name}.bias`].ref);
}

/** By products, since `dotProductAttention` needs iterator helpers, which Node 20 lacks. */
function attention(qkv, { batch, tokens, width, heads }) {
  const size = width / heads;
  const split = (part, order) => np.transpose(part.reshape([batch, tokens, heads, size]), order);
  const [q, k, v] = np.split(qkv, 3, -1);
  const scores = np.matmul(split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])).mul(1 / Math.sqrt(size));
  const mixed = np.matmul(jax.nn.softmax(scores), split(v, [0, 2, 1, 3]));
  return np.transpose(mixed, [0, 2, 1, 3]).reshape([batch, tokens, width]);
}

/** Consumes `x` but not `p`. */
function encode(p, x, shape) {
  let y = x;
  for (let i = 0; i < shape.depth; i++) {
    const qkv = linear(p, `${i}.qkv`, layerNorm(p, `${i}.norm1`, y.ref));
    y = y.add(linear(p, `${i}.projection`, attention(qkv, shape)));
    const expanded = linear(p, `${i}.expand`, layerNorm(p, `${i}.norm2`, y.ref));
    y = y.add(linear(p, `${i}.contract`, jax.nn.gelu(expanded, { approximate: false })));
  }
  return layerNorm(p, "norm", y);
}

function embed(p, pixels) {
  const { batch, width, tokens, patch } = tinyShape;
  const across = tinyShape.pixels / patch;
  const split = pixels.reshape([batch, 3, across, patch, across, patch]);
  const patches = np.transpose(split, [0, 2, 4, 1, 3, 5]).reshape([batch, tokens - 1, 3 * patch * patch]);
  const classToken = np.broadcastTo(p.class.ref, [batch, 1, width]);
  return np.concatenate([classToken, linear(p, "embed", patches)], 1).add(p.position.ref);
}

function trainStep(row, finished) {
  const { batch, tokens, width, classes } = trainShape;
  const { learningRate, beta1, beta2, epsilon, weightDecay } = adamW;
  const data = trainBatch(trainShape);
  const x = np.array(data.tokens, { shape: [batch, tokens, width] });
  const labels = jax.nn.oneHot(np.array(data.labels, { dtype: np.int32 }), classes);
  const loss = (p, x, labels) => {
    const classTokens = encode(p, x, trainShape).slice([], 0);
    const logits = linear(p, "head", classTokens);
    jax.tree.dispose(p);
    return jax.nn
      .logSoftmax(logits)
      .mul(labels)
      .sum()
      .mul(-1 / batch);
  };
  const compiled = jax.jit((p, moments, corrections, x, labels) => {
    const [value, gradients] = jax.valueAndGrad(loss)(jax.tree.ref(p), x, labels);
    const next = { p: {}, moments: {} };
    for (const name of Object.keys(p)) {
      const g = gradients[name];
      const first = moments[name].first.mul(beta1).add(g.ref.mul(1 - beta1));
      const second = moments[name].second.mul(beta2).add(np.square(g).mul(1 - beta2));
      const size = np.sqrt(second.ref.mul(corrections.second.ref)).add(epsilon);
      const direction = first.ref.mul(corrections.first.ref).div(size);
      next.p[name] = p[name].mul(1 - learningRate * weightDecay).sub(direction.mul(learningRate));
      next.moments[name] = { first, second };
    }
    jax.tree.dispose(corrections);
    return [next, value];
  });
  const p = tensors(trainShape);
  const zeros = () => tensorsLike(p);
  const [first, second] = [zeros(), zeros()];
  let state = {
    p,
    moments: Object.fromEntries(Object.keys(p).map((name) => [name, { first: first[name], second: second[name] }])),
  };
  let count = 0;
  const step = () => {
    count += 1;
    const corrections = { first: np.array([1 / (1 - beta1 ** count)]), second: np.array([1 / (1 - beta2 ** count)]) };
    const [next, value] = compiled(state.p, state.moments, corrections, x.ref, labels.ref);
    state = next;
    return value;
  };
  return {
    async run() {
      const value = step();
      await finished(state);
      value.dispose();
    },
    async result() {
      const losses = [];
      for (let i = 0; i < row.steps; i++) losses.push((await step().data())[0]);
      return losses;
    },
    release() {
      compiled.dispose();
      jax.tree.dispose([state, x, labels]);
    },
  };
}

function tensorsLike(p) {
  return Object.fromEntries(Object.entries(p).map(([name, { shape }]) => [name, np.zeros(shape)]));
}
