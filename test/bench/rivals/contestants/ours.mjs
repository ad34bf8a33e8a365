import * as engine from "../../../../dist/engine.js";
import { images, layerNormEpsilon, parameters, tinyShape } from "../work/vit.mjs";

const { attention, gelu, layerNorm, linear, matmul, nearest, recordProgram, reshape, softmax } = engine;
let device;
let programs = 0;

/** This engine. Inputs are state, as the rivals' are arrays on the device; a program is recorded once and replayed. */
export async function open() {
  device = await engine.openDevice({ notice: () => {} });
  const info = device.gpu.adapterInfo;
  return { adapter: info.description || info.device || info.vendor, prepare: (row) => kinds[row.kind](row) };
}

const kinds = {
  matmul: (row) => pure(row, ({ a, b }) => matmul(a, b)),
  softmax: (row) => pure(row, ({ x }) => softmax(x)),
  gelu: (row) => pure(row, ({ x }) => gelu(x)),
  layernorm: (row) =>
    pure(row, ({ x }) => {
      const width = x.shape[1];
      const weight = state([width], new Float32Array(width).fill(1));
      return layerNorm(x, weight, device.zeros([width]), layerNormEpsilon);
    }),
  nearest: (row) => pure(row, ({ queries, bank }) => nearest(queries, bank, row.k).indices),
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
  const build = (program) => {
    const y = compute();
    program.absorb(y.program); // operations on state alone begin a program of their own
    return { y };
  };
  const program = recordProgram(device, build, { inference: true });
  const key = `bench ${programs++}`; // a wait of its own length: the last row's would make this one oversleep
  return {
    async run() {
      await program.run();
      await device.settle(() => device.gpu.queue.onSubmittedWorkDone(), key);
      device.throwIfLost();
    },
    async result() {
      return (await (await program.run({}, ["y"])).read()).y;
    },
    release: () => program.destroy(),
  };
}

/** Parameters under their names; `linear` takes weights as [out, in]. */
function tensors(shape) {
  const arena = new engine.Arena(
    device,
    "parameters",
    parameters(shape).map(({ name, shape: size }) => ({
      name,
      shape: name.endsWith("weight") ? size.toReversed() : size,
    })),
  );
  for (const { name, shape: size, data } of parameters(shape)) {
    device.write(arena.get(name), size.length === 2 ? transposed(data, ...size) : data);
  }
  return arena;
}

function transposed(data, rows, columns) {
  return Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
}

function dense(p, name, x, options) {
  return linear(x, p.get(`${name}.weight`), { bias: p.get(`${name}.bias`), ...options });
}

function norm(p, name, x) {
  return layerNorm(x, p.get(`${name}.weight`), p.get(`${name}.bias`), layerNormEpsilon);
}

/** `x` and the result are token rows `[batch * tokens, width]`. */
function encode(p, x, { batch, tokens, depth, heads }) {
  const segments = [{ firstRow: 0, batch, tokens }];
  let y = x;
  for (let i = 0; i < depth; i++) {
    const mixed = attention(dense(p, `${i}.qkv`, norm(p, `${i}.norm1`, y)), { heads, segments });
    y = dense(p, `${i}.projection`, mixed, { residual: y });
    const expanded = dense(p, `${i}.expand`, norm(p, `${i}.norm2`, y), { activation: "gelu" });
    y = dense(p, `${i}.contract`, expanded, { residual: y });
  }
  return norm(p, "norm", y);
}

function tinyForward() {
  const { batch, tokens, width, pixels, patch } = tinyShape;
  const p = tensors(tinyShape);
  const x = state([batch, 3, pixels, pixels], images(tinyShape));
  // The position of the class token joins the token itself: assembleTokens adds positions to patches.
  const position = parameters(tinyShape).find(({ name }) => name === "position").data;
  const classToken = parameters(tinyShape).find(({ name }) => name === "class").data;
  const classes = state(
    [1, width],
    classToken.map((value, i) => value + position[i]),
  );
  const positions = state([tokens - 1, width], position.subarray(width));
  return forward(() => {
    const patches = reshape(engine.patchify(x, { patchPixels: patch }), [batch * (tokens - 1), 3 * patch * patch]);
    const embedded = reshape(dense(p, "embed", patches), [batch, tokens - 1, width]);
    const rows = reshape(engine.assembleTokens(embedded, positions, classes), [batch * tokens, width]);
    return encode(p, rows, tinyShape);
  });
}

function trainStep() {
  throw new Error("the engine has no optimiser yet");
}
