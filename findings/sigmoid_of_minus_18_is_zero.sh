#!/usr/bin/env bash
# Sigmoid(-18) is exactly 0 in onnxruntime, though float32 holds it well, and Sigmoid(-17) is off by 28 %.
#
# 1 / (1 + e^18) is 1.5e-8, far from the smallest float32 (1e-38); NumPy and PyTorch give it. onnxruntime's CPU kernel computes
# 0.5 plus a rational function of x and loses what lies below half a unit of 1: a logarithm of the result is -Infinity from -18 on, where
# -18 is right. An exported classifier whose loss or calibration takes log(sigmoid(x)) gives other numbers than its original.
#
# Seen with onnxruntime-web 1.30.0 (WebAssembly, run by Node). Prints what it saw and fails if that changes.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
npm install --silent --no-save --ignore-scripts onnxruntime-web@1.30.0 >/dev/null 2>&1 || {
  echo "onnxruntime-web@1.30.0 could not be installed"
  exit 1
}
cat >sigmoid.mjs <<'JS'
import * as ort from "onnxruntime-web";
// A model of one node, as protobuf fields: number << 3 | kind (0 whole number, 2 bytes with their length).
const bytes = (field, content) => [(field << 3) | 2, content.length, ...content];
const whole = (field, value) => [field << 3, value];
const text = (value) => [...Buffer.from(value)];
const shape = (count) => bytes(2, bytes(1, [...whole(1, 1), ...bytes(2, bytes(1, whole(1, count)))]));
const value = (name, count) => [...bytes(1, text(name)), ...shape(count)];
const inputs = [-1, -10, -16, -17, -18, -30];
const node = [...bytes(1, text("x")), ...bytes(2, text("y")), ...bytes(4, text("Sigmoid"))];
const graph = [
  ...[...bytes(1, node), ...bytes(2, text("g"))],
  ...[...bytes(11, value("x", inputs.length)), ...bytes(12, value("y", inputs.length))],
];
ort.env.wasm.numThreads = 1;
const model = Uint8Array.from([...whole(1, 8), ...bytes(7, graph), ...bytes(8, whole(2, 13))]);
const session = await ort.InferenceSession.create(model);
const { y } = await session.run({ x: new ort.Tensor("float32", Float32Array.from(inputs), [inputs.length]) });
for (const [i, x] of inputs.entries())
  console.log(`sigmoid(${x}): ${y.data[i].toPrecision(3)}, right ${(1 / (1 + Math.exp(-x))).toPrecision(3)}`);
process.exit(y.data[3] > 2.5e-8 && y.data[3] < 3.5e-8 && y.data[4] === 0 && y.data[5] === 0 ? 0 : 1);
JS
node sigmoid.mjs
