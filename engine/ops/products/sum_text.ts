import { epilogue, sumHead } from "./product_text.ts";

/** WGSL of the second pass of a product whose depth was split. */
export function sumText(): string {
  return `// y = epilogue(sum over parts): second pass of a product whose depth was split. The parts are added in their order, so the
// result is the same in every run. One invocation per element.
${sumHead()}
@compute @workgroup_size(64)
fn matmul_sum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let size = params.rows * params.columns;
  for (var i = id.x; i < size * params.batches; i += groups.x * 64u) {
    let first = (i / size) * params.splits * size + i % size;
    var sum = 0.0;
    for (var s = 0u; s < params.splits; s++) { sum += f32(parts[first + s * size]); }
    var columnBias = 0.0;
    if (hasBias) { columnBias = f32(bias[i % params.columns]); }
    finish(sum, columnBias, i);
  }
}
${epilogue(1)}`;
}
