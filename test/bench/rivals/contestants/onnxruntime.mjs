import { channelsFirst, channelsLast } from "../work/conv.mjs";
import { product } from "../work/inputs.mjs";
import { onnxModel } from "../work/onnx_model.mjs";
import { images, layerNormEpsilon, parameters, tinyShape } from "../work/vit.mjs";

let ort;

/**
 * onnxruntime-node with its WebGPU execution provider, which brings a Dawn of its own and runs inference only.
 * Activations are uploaded and results read back in each run, as its users have it; weights stay on the device.
 */
export async function open() {
  ort = await import("onnxruntime-node");
  ort.env.logLevel = "error"; // it warns of every node that it leaves to the CPU on purpose
  if (!ort.listSupportedBackends().some(({ name }) => name === "webgpu")) {
    throw new Error("this build of onnxruntime-node has no WebGPU execution provider");
  }
  return { prepare: (row) => (kinds[row.kind] ?? trainingMissing)(row) };
}

function trainingMissing({ work }) {
  throw new Error(`onnxruntime-node runs inference only, not the ${work}`);
}

const kinds = {
  matmul(row) {
    const { a, b } = row.inputs();
    const shape = [a.shape[0], a.shape[1], b.shape[2]];
    return session(graph({ a }, { b }, [["MatMul", ["a", "b"]]], shape));
  },
  softmax: (row) => session(graph(row.inputs(), {}, [["Softmax", ["x"], { axis: -1 }]], row.inputs().x.shape)),
  gelu: (row) => session(graph(row.inputs(), {}, [["Gelu", ["x"]]], row.inputs().x.shape)),
  layernorm(row) {
    const { x } = row.inputs();
    const width = x.shape[1];
    const scale = { shape: [width], data: new Float32Array(width).fill(1) };
    const node = ["LayerNormalization", ["x", "scale"], { axis: -1, epsilon: layerNormEpsilon }];
    return session(graph({ x }, { scale }, [node], x.shape));
  },
  async conv2d(row) {
    const given = row.inputs();
    const { x, weight } = channelsFirst(given);
    const [images, , rows, columns] = x.shape;
    const node = ["Conv", ["x", "weight"], { kernel_shape: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1] }];
    const shape = [images, weight.shape[0], rows, columns];
    return channelsLast(await session(graph({ x }, { weight }, [node], shape)), given);
  },
  nearest(row) {
    const { queries, bank } = row.inputs();
    const bankRows = bank.shape[0];
    const constants = { bank, k: integers([row.k]) };
    const nodes = [
      ["Transpose", ["bank"], { perm: [1, 0] }],
      ["MatMul", ["queries", "0"]],
      ["TopK", ["1", "k"], { axis: 1 }, ["values", "y"]],
    ];
    const shape = [queries.shape[0], Math.min(row.k, bankRows)];
    return session({ ...graph({ queries }, constants, nodes, shape), integer: true });
  },
  "vit-ti forward": tinyForward,
};

function tinyForward() {
  const { batch, pixels, patch, width, tokens, heads, depth } = tinyShape;
  const x = { shape: [batch, 3, pixels, pixels], data: images(tinyShape) };
  const constants = Object.fromEntries(parameters(tinyShape).map(({ name, shape, data }) => [name, { shape, data }]));
  constants["embed.kernel"] = transposed(constants["embed.weight"], [width, 3, patch, patch]);
  delete constants["embed.weight"];
  constants.class = repeated(constants.class, batch);
  constants.scale = { shape: [], data: Float32Array.of(Math.sqrt(heads / width)) };
  constants.grid = integers([batch, width, tokens - 1]);
  constants.split = integers([batch, tokens, 3, heads, width / heads]);
  constants.joined = integers([batch, tokens, width]);
  ["first", "second", "third"].forEach((name, i) => {
    constants[name] = { shape: [], data: BigInt64Array.of(BigInt(i)) };
  });
  const nodes = [];
  const add = (op, inputs, attributes) => String(nodes.push([op, inputs, attributes]) - 1);
  const linear = (name, y) => add("Add", [add("MatMul", [y, `${name}.weight`]), `${name}.bias`]);
  const norm = (name, y) =>
    add("LayerNormalization", [y, `${name}.weight`, `${name}.bias`], { axis: -1, epsilon: layerNormEpsilon });
  const attention = (qkv) => {
    const split = add("Transpose", [add("Reshape", [qkv, "split"])], { perm: [2, 0, 3, 1, 4] });
    const [q, k, v] = ["first", "second", "third"].map((index) => add("Gather", [split, index], { axis: 0 }));
    const scores = add("MatMul", [add("Mul", [q, "scale"]), add("Transpose", [k], { perm: [0, 1, 3, 2] })]);
    const mixed = add("MatMul", [add("Softmax", [scores], { axis: -1 }), v]);
    return add("Reshape", [add("Transpose", [mixed], { perm: [0, 2, 1, 3] }), "joined"]);
  };
  const grid = add("Conv", ["x", "embed.kernel", "embed.bias"], {
    kernel_shape: [patch, patch],
    strides: [patch, patch],
  });
  const patches = add("Transpose", [add("Reshape", [grid, "grid"])], { perm: [0, 2, 1] });
  let y = add("Add", [add("Concat", ["class", patches], { axis: 1 }), "position"]);
  for (let i = 0; i < depth; i++) {
    y = add("Add", [y, linear(`${i}.projection`, attention(linear(`${i}.qkv`, norm(`${i}.norm1`, y))))]);
    y = add("Add", [y, linear(`${i}.contract`, add("Gelu", [linear(`${i}.expand`, norm(`${i}.norm2`, y))]))]);
  }
  norm("norm", y);
  return session(graph({ x }, constants, nodes, [batch, tokens, width]));
}

/** Node i writes the value named i; the last one writes `y`. */
function graph(inputs, constants, nodes, outputShape) {
  const last = nodes.length - 1;
  return {
    inputs,
    constants,
    outputShape,
    nodes: nodes.map(([op, operands, attributes, outputs], i) => ({
      op,
      attributes,
      inputs: operands,
      outputs: outputs ?? [i === last ? "y" : String(i)],
    })),
  };
}

async function session({ inputs, constants, nodes, outputShape, integer }) {
  const named = (tensors) => Object.entries(tensors).map(([name, tensor]) => ({ name, ...tensor }));
  const model = onnxModel({
    inputs: named(inputs),
    initializers: named(constants),
    nodes,
    outputs: [{ name: "y", shape: outputShape, integer }],
  });
  const opened = await ort.InferenceSession.create(model, { executionProviders: ["webgpu"], logSeverityLevel: 3 });
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { data, shape }]) => [name, new ort.Tensor("float32", data, shape)]),
  );
  return {
    run: () => opened.run(feeds, ["y"]),
    async result() {
      const { y } = await opened.run(feeds, ["y"]);
      return integer ? Int32Array.from(y.data, Number) : y.data;
    },
    release: () => opened.release(),
  };
}

function integers(values) {
  return { shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

function transposed({ shape: [rows, columns], data }, shape) {
  return {
    shape,
    data: Float32Array.from({ length: product(shape) }, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]),
  };
}

function repeated({ shape, data }, count) {
  const all = new Float32Array(count * data.length);
  for (let i = 0; i < count; i++) all.set(data, i * data.length);
  return { shape: [count, ...shape.slice(1)], data: all };
}
