#!/usr/bin/env bash
# SwiftShader makes some whole numbers above 2^31 the second nearest f32, not the nearest: f32(3221225601u) is 3221225472.
#
# An f32 holds every 256th number there: 3221225601 is 129 above that one and 127 below the next, 3221225728. All results are those of two
# roundings: the number less 2^31 becomes an f32, and 2^31 is added. WGSL allows either neighbour, so that no rule is broken; but a number
# that is drawn from all bits of a u32 differs between adapters. f32(i32) is not concerned, nor is f32(u32) below 2^31.
#
# Seen with the driver in @sparticuz/chromium 143.0.4 (SwiftShader 5.0), by webgpu 0.6.2, Linux x64. Prints what it saw and fails if
# that changes.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
npm install --silent --no-save --ignore-scripts @sparticuz/chromium@143.0.4 webgpu@0.6.2 >/dev/null 2>&1 || {
  echo "@sparticuz/chromium@143.0.4 and webgpu@0.6.2 could not be installed"
  exit 1
}
mkdir driver
node -e '
  const archive = require("fs").readFileSync("node_modules/@sparticuz/chromium/bin/swiftshader.tar.br");
  process.stdout.write(require("zlib").brotliDecompressSync(archive));
' | tar -x -C driver || exit 1
cat >convert.mjs <<'JS'
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);

const numbers = [];
for (const base of [2 ** 30, 2 ** 31, 3 * 2 ** 30, 2 ** 32 - 1024]) for (let i = 0; i < 512; i++) numbers.push(base + i);
const code = `
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) at: vec3u) { y[at.x] = f32(x[at.x]); }`;
const gpu = create([]);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error("no adapter");
console.log(`${adapter.info.device} ${adapter.info.description}`);
const device = await adapter.requestDevice();
const size = 4 * numbers.length;
const [x, y, out] = [
  GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
].map((usage) => device.createBuffer({ size, usage }));
device.queue.writeBuffer(x, 0, Uint32Array.from(numbers));
const module = device.createShaderModule({ code });
const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
const entries = [x, y].map((buffer, binding) => ({ binding, resource: { buffer } }));
const encoder = device.createCommandEncoder();
const pass = encoder.beginComputePass();
pass.setPipeline(pipeline);
pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
pass.dispatchWorkgroups(numbers.length);
pass.end();
encoder.copyBufferToBuffer(y, 0, out, 0, size);
device.queue.submit([encoder.finish()]);
await out.mapAsync(GPUMapMode.READ);
const got = new Float32Array(out.getMappedRange().slice(0));
const other = [...numbers.keys()].filter((i) => got[i] !== Math.fround(numbers[i]));
for (const i of other.filter((_, n) => n % 63 === 0)) console.log(`f32(${numbers[i]}u): ${got[i]}, nearest ${Math.fround(numbers[i])}`);
console.log(`${other.length} of ${numbers.length} are not the nearest`);
const twice = (x) => (x < 2 ** 31 ? Math.fround(x) : Math.fround(Math.fround(x - 2 ** 31) + 2 ** 31));
const isTwice = numbers.every((x, i) => got[i] === twice(x));
console.log(`all are those of two roundings: ${isTwice}`);
const isAsSeen = isTwice && got[numbers.indexOf(3221225601)] === 3221225472;
process.exit(isAsSeen ? 0 : 1);
JS
VK_DRIVER_FILES=$(echo "$folder"/driver/*icd.json) LD_LIBRARY_PATH=$folder/driver XDG_RUNTIME_DIR=$folder node convert.mjs 2>/dev/null
