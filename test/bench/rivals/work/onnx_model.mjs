// Writes an ONNX model, that is the few messages of onnx.proto that a static float32 graph needs, as protobuf bytes.

const float32 = 1; // TensorProto.DataType
const int64 = 7;
const attributeTypes = { float: 1, int: 2, ints: 7 }; // AttributeProto.AttributeType

/**
 * A model with one graph.
 *
 * @param {{ inputs: { name, shape }[], outputs: { name, shape, integer? }[], initializers: { name, shape, data }[],
 *   nodes: { op, inputs: string[], outputs: string[], attributes?: Record<string, number | number[]>, domain? }[] }} graph
 *   attributes: a list is `ints`; a whole number is `int` unless its name is in `floatAttributes`
 */
export function onnxModel({ inputs, outputs, initializers, nodes }) {
  const graph = [
    ...nodes.map((node) => field(1, nodeProto(node))),
    field(2, text("graph")),
    ...initializers.map((tensor) => field(5, tensorProto(tensor))),
    ...inputs.map((value) => field(11, valueInfo(value))),
    ...outputs.map((value) => field(12, valueInfo(value))),
  ];
  const opset = Buffer.concat([field(1, text("")), number(2, 20)]); // 20: the first with Gelu
  return Buffer.concat([number(1, 9), field(7, Buffer.concat(graph)), field(8, opset)]); // 9: the IR version of opset 20
}

const floatAttributes = new Set(["epsilon", "alpha", "beta"]);

function nodeProto({ op, inputs, outputs, attributes = {} }) {
  return Buffer.concat([
    ...inputs.map((name) => field(1, text(name))),
    ...outputs.map((name) => field(2, text(name))),
    field(4, text(op)),
    ...Object.entries(attributes).map(([name, value]) => field(5, attribute(name, value))),
  ]);
}

function attribute(name, value) {
  const parts = [field(1, text(name))];
  if (Array.isArray(value)) parts.push(...value.map((item) => number(8, item)), number(20, attributeTypes.ints));
  else if (floatAttributes.has(name)) parts.push(float(2, value), number(20, attributeTypes.float));
  else parts.push(number(3, value), number(20, attributeTypes.int));
  return Buffer.concat(parts);
}

function tensorProto({ name, shape, data }) {
  const type = data instanceof BigInt64Array ? int64 : float32;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength); // raw_data is little-endian, as is every machine here
  return Buffer.concat([
    ...shape.map((size) => number(1, size)),
    number(2, type),
    field(8, text(name)),
    field(9, bytes),
  ]);
}

function valueInfo({ name, shape, integer }) {
  const dimensions = Buffer.concat(shape.map((size) => field(1, number(1, size))));
  const tensorType = Buffer.concat([number(1, integer ? int64 : float32), field(2, dimensions)]);
  return Buffer.concat([field(1, text(name)), field(2, field(1, tensorType))]);
}

function text(value) {
  return Buffer.from(value, "utf8");
}

/** A length-delimited field. */
function field(tag, bytes) {
  return Buffer.concat([varint(tag * 8 + 2), varint(bytes.length), bytes]);
}

/** A whole number, negative ones in two's complement of 64 bits. */
function number(tag, value) {
  return Buffer.concat([varint(tag * 8), varint(value)]);
}

function float(tag, value) {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint(tag * 8 + 5), bytes]);
}

function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
