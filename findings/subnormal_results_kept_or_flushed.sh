#!/usr/bin/env bash
# Software adapters differ in whether an f32 below 2^-126 exists: lavapipe of Mesa 25 computes it, of Mesa 26 and SwiftShader give 0.
#
# Products, differences and sums with a result or an operand below 2^-126 (subnormal) are right on lavapipe 25, and 0 on the other two;
# all copy such numbers unchanged. WGSL allows both, so that a driver's update changes results: what decays towards 0, such as a moment of
# an optimiser, ends there earlier, and 4 x of a stored 2^-127 is 0 instead of 2^-125.
#
#   subnormal_results_kept_or_flushed.sh [FOLDER]    FOLDER of scripts/coopmatrix.sh, kept; default: a temporary one
#
# Seen with webgpu 0.6.2 on lavapipe of Mesa 25.0.7 (the system's) and 26.1.6 (of scripts/coopmatrix.sh), and the SwiftShader 5.0 in
# @sparticuz/chromium 143.0.4, Linux x64. Prints what it saw; exit 1 if that changes, 3 if another Mesa is there, 4 if one is missing.
set -uo pipefail
scripts=$(cd "$(dirname "$0")/../scripts" && pwd)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
folder=${1:-$temporary/coopmatrix}
export XDG_RUNTIME_DIR=$temporary MESA_SHADER_CACHE_DIR=$temporary/shaders # one of its own: the two drivers would share it
system=$(ls /usr/share/vulkan/icd.d/lvp_icd*.json 2>/dev/null | head -1)
[ -n "$system" ] || {
  echo "no lavapipe is installed"
  exit 4
}
"$scripts/coopmatrix.sh" "$folder" >/dev/null || {
  echo "lavapipe of Mesa 26 cannot be had"
  exit 4
}
cd "$temporary" || exit 1
npm install --silent --no-save --ignore-scripts @sparticuz/chromium@143.0.4 webgpu@0.6.2 >/dev/null 2>&1 || {
  echo "@sparticuz/chromium@143.0.4 and webgpu@0.6.2 could not be installed"
  exit 1
}
mkdir driver
node -e '
  const archive = require("fs").readFileSync("node_modules/@sparticuz/chromium/bin/swiftshader.tar.br");
  process.stdout.write(require("zlib").brotliDecompressSync(archive));
' | tar -x -C driver || exit 1
cat >subnormal.mjs <<'JS'
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const [, , driver, expected] = process.argv;
const least = 2 ** -126; // the smallest normal f32
const code = `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() {
  y[0] = x[0] * x[1];
  y[1] = x[2] - x[0];
  y[2] = x[3] * x[4];
  y[3] = x[3] + x[5];
  y[4] = x[3];
}`;
const gpu = create([]);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error("no adapter");
const name = `${adapter.info.device} ${adapter.info.description}`;
if (!name.includes(driver)) {
  console.log(`${name} here; this was seen with ${driver}`);
  process.exit(3);
}
const device = await adapter.requestDevice();
const size = 32;
const [x, y, out] = [
  GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
].map((usage) => device.createBuffer({ size, usage }));
device.queue.writeBuffer(x, 0, Float32Array.of(least, 0.5, 1.5 * least, least / 2, 4, 0));
const module = device.createShaderModule({ code });
const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
const entries = [x, y].map((buffer, binding) => ({ binding, resource: { buffer } }));
const encoder = device.createCommandEncoder();
const pass = encoder.beginComputePass();
pass.setPipeline(pipeline);
pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
pass.dispatchWorkgroups(1);
pass.end();
encoder.copyBufferToBuffer(y, 0, out, 0, size);
device.queue.submit([encoder.finish()]);
await out.mapAsync(GPUMapMode.READ);
// In units of the smallest normal number: two subnormal results, two of subnormal operands, and a copy.
const got = [...new Float32Array(out.getMappedRange()).slice(0, 5)].map((value) => value / least);
console.log(`${name}: ${got.join(", ")}`);
process.exit(got.join(" ") === expected ? 0 : 1);
JS
status=0
see() {
  "$@" 2>/dev/null || {
    local code=$?
    [ "$status" -ne 0 ] || status=$code
  }
}
echo "2^-126 / 2, 1.5 x 2^-126 - 2^-126, 4 x 2^-127, 2^-127 + 0, a copy of 2^-127; as multiples of 2^-126"
see env VK_DRIVER_FILES="$system" node subnormal.mjs "Mesa 25." "0.5 0.5 2 0.5 0.5"
see env LP_NATIVE_VECTOR_WIDTH=256 "$scripts/coopmatrix.sh" "$folder" node subnormal.mjs "Mesa 26." "0 0 0 0 0.5"
see env VK_DRIVER_FILES="$(echo "$temporary"/driver/*icd.json)" LD_LIBRARY_PATH="$temporary/driver" \
  node subnormal.mjs SwiftShader "0 0 0 0 0.5"
exit "$status"
