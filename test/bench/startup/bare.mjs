// The first product of two matrices with nothing but Dawn: what startup is measured against.
import { create, globals } from "webgpu";
import { columns, depth, left, reportFirst, right, rows } from "./work.mjs";

const { GPUBufferUsage, GPUMapMode } = globals;
const gpu = create([]);
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
const device = await adapter.requestDevice();
const module = device.createShaderModule({
  code: `
    @group(0) @binding(0) var<storage, read> a: array<f32>;
    @group(0) @binding(1) var<storage, read> b: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(8, 8)
    fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x >= ${columns}u || id.y >= ${rows}u) { return; }
      var sum = 0.0;
      for (var k = 0u; k < ${depth}u; k++) { sum += a[id.y * ${depth}u + k] * b[k * ${columns}u + id.x]; }
      y[id.y * ${columns}u + id.x] = sum;
    }`,
});
const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
const inputs = [left(), right()].map((values) => {
  const buffer = device.createBuffer({
    size: values.byteLength,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(buffer, 0, values);
  return buffer;
});
const size = 4 * rows * columns;
const result = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
const group = device.createBindGroup({
  layout: pipeline.getBindGroupLayout(0),
  entries: [...inputs, result].map((buffer, binding) => ({ binding, resource: { buffer } })),
});
const encoder = device.createCommandEncoder();
const pass = encoder.beginComputePass();
pass.setPipeline(pipeline);
pass.setBindGroup(0, group);
pass.dispatchWorkgroups(Math.ceil(columns / 8), Math.ceil(rows / 8));
pass.end();
encoder.copyBufferToBuffer(result, 0, staging, 0, size);
device.queue.submit([encoder.finish()]);
await staging.mapAsync(GPUMapMode.READ);
reportFirst(new Float32Array(staging.getMappedRange()));
