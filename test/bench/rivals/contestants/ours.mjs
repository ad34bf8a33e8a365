import { adamW, images, layerNormEpsilon, parameters, tinyShape, trainBatch, trainShape } from "../work/vit.mjs";

const checkout = new URL("../../../../dist/", import.meta.url).href;
let engine;
let models;
let device;

/**
 * This engine. Inputs are state, as the rivals' are arrays on the device; a program is recorded once and replayed.
 *
 * @param {string} [dist] - address of the build; this checkout's by default. Only its public entry points are used, so
 *   that it may be another commit's: a work whose functions that commit lacks fails when it is prepared.
 */
export async function open(dist) {
  engine = await import(new URL("engine.js", dist || checkout).href);
  models = await import(new URL("models.js", dist || checkout).href);
  device = await engine.openDevice({ notice: () => {} });
  const info = device.gpu.adapterInfo;
  return { adapter: info.description || info.device || info.vendor, prepare: (row) => kinds[row.kind](row) };
}

const kinds = {
  matmul: (row) => pure(row, ({ a, b }) => engine.matmul(a, b)),
  softmax: (row) => pure(row, ({ x }) => engine.softmax(x)),
  gelu: (row) => pure(row, ({ x }) => engine.gelu(x)),
  layernorm: (row) =>
    pure(row, ({ x }) => {
      const width = x.shape[1];
      const weight = state([width], new Float32Array(width).fill(1));
      return engine.layerNorm(x, { weight, bias: device.zeros([width]), epsilon: layerNormEpsilon });
    }),
  conv2d: (row) => pure(row, ({ x, weight }) => engine.conv2d(x, weight, { padding: 1 })),
  nearest: (row) =>
    pure(row, ({ queries, bank }) => engine.nearest(queries, bank, { k: row.k, metric: "dot" }).indices),
  "vit-ti forward": tinyForward,
  "train step": trainStep,
};

function state(shape, data) {
  return device.tensor(data, shape);
}

function pure(row, compute) {
  const inputs = Object.fromEntries(
    Object.entries(row.inputs()).map(([name, { data, shape }]) => [name, state(shape, data)]),
  );
  return forward(() => compute(inputs));
}

function forward(compute) {
  const program = engine.recordProgram(device, () => ({ y: compute() }), { inference: true });
  return {
    async run() {
      await program.run();
      await device.idle();
    },
    async result() {
      return (await (await program.run({}, ["y"])).read()).y;
    },
    release: () => program.destroy(),
  };
}

/** Where the models of this package keep the parameters of the shared description. */
const ownNames = [
  ["qkv.", "attn.qkv."],
  ["projection.", "attn.proj."],
  ["expand.", "mlp.fc1."],
  ["contract.", "mlp.fc2."],
];

function ownName(name) {
  const [block, rest] = name.split(/\.(.*)/);
  if (!/^\d+$/.test(block)) return name;
  const [from, to] = ownNames.find(([start]) => rest.startsWith(start)) ?? ["", ""];
  return `blocks.${block}.${to}${rest.slice(from.length)}`;
}

/** Values under the names of this package; linear layers take weights as [out, in]. */
function ownParameters(shape) {
  return parameters(shape).map(({ name, shape: size, data }) =>
    size.length === 2
      ? { name: ownName(name), shape: size.toReversed(), data: transposed(data, ...size) }
      : { name: ownName(name), shape: size, data },
  );
}

function transposed(data, rows, columns) {
  return Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
}

function tinyForward() {
  const { batch, width, depth, heads, hidden, pixels, patch } = tinyShape;
  const vit = new models.VisionTransformer(
    device,
    models.vitConfig({
      patchPixels: patch,
      width,
      blocks: depth,
      heads,
      mlpWidth: hidden,
      heightPixels: pixels,
      widthPixels: pixels,
      epsilon: layerNormEpsilon,
    }),
  );
  const values = new Map(ownParameters(tinyShape).map(({ name, data }) => [name, data]));
  const position = values.get("position");
  for (const name of vit.parameters.tensors.keys()) {
    device.write(vit.parameters.get(name), values.get(name.replace("patch_embed.proj", "embed")) ?? classToken());
  }
  device.write(vit.positions, position.subarray(width));
  const x = state([batch, 3, pixels, pixels], images(tinyShape));
  return forward(() => vit.forward(x).rows);

  /** Its position joins the token itself: this model adds positions to patches only. */
  function classToken() {
    return values.get("class").map((value, i) => value + position[i]);
  }
}

function trainStep(row) {
  const { batch, tokens, width, depth, heads } = trainShape;
  const values = ownParameters(trainShape);
  const { layerNorm, reshape, slice } = engine;
  const arena = new engine.Arena(device, "parameters", values);
  for (const { name, data } of values) device.write(arena.get(name), data);
  const moments = [arena.like("first moments"), arena.like("second moments")];
  const gradients = arena.like("gradients");
  const groups = device.tensor([1, adamW.weightDecay], [1, 2]);
  const blockGroups = arena.chunks.map(({ size }) => device.zeros([size / engine.arenaBlockElements], "u32"));
  const data = trainBatch(trainShape);
  const x = state([batch * tokens, width], data.tokens);
  const labels = device.tensor(Uint32Array.from(data.labels), [batch], "u32");
  const segments = [{ firstRow: 0, batch, tokens }];
  const dense = (name) => ({ weight: arena.get(`${name}.weight`), bias: arena.get(`${name}.bias`) });
  const program = engine.recordProgram(device, (p) => {
    let y = x;
    for (let i = 0; i < depth; i++) {
      const options = { kind: "prenorm", heads, epsilon: layerNormEpsilon, segments };
      y = models.transformerBlock(arena, `blocks.${i}`, y, options);
    }
    const normed = layerNorm(y, { ...dense("norm"), epsilon: layerNormEpsilon });
    const classTokens = reshape(slice(reshape(normed, [batch, tokens, width]), [undefined, [0, 1]]), [batch, width]);
    const { weight, bias } = dense("head");
    const loss = engine.crossEntropy(engine.linear(classTokens, weight, { bias }), labels);
    const names = values.map(({ name }) => name);
    const targets = names.map((name) => arena.get(name));
    p.gradients(loss, targets).forEach((gradient, i) => {
      p.assign(gradients.get(names[i]), gradient);
    });
    const scalars = p.input("scalars", [engine.stepScalarCount]);
    arena.chunks.forEach((chunk, i) => {
      engine.adamW(p, {
        parameters: chunk,
        gradients: gradients.chunks[i],
        firstMoment: moments[0].chunks[i],
        secondMoment: moments[1].chunks[i],
        blockGroups: blockGroups[i],
        groups,
        scalars,
      });
    });
    return { loss };
  });
  const { learningRate, beta1, beta2, epsilon } = adamW;
  let count = 0;
  const scalars = () => engine.stepScalars({ learningRate, beta1, beta2, epsilon, step: ++count });
  return {
    async run() {
      await program.run({ scalars: scalars() });
      await device.idle();
    },
    async result() {
      const losses = [];
      for (let i = 0; i < row.steps; i++) {
        losses.push((await (await program.run({ scalars: scalars() }, ["loss"])).read()).loss[0]);
      }
      return losses;
    },
    release: () => program.destroy(),
  };
}
