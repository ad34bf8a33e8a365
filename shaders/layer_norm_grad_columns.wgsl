// dWeight[c] = sum over groups of partials[group, 0, c], dBias[c] of partials[group, 1, c]; one invocation per result.
struct Params { groups: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> dWeight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dBias: array<f32>;

@compute @workgroup_size(64)
fn layer_norm_grad_columns(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = 2u * params.columns;
  for (var i = id.x; i < stride; i += groups.x * 64u) {
    var strands = vec4f(0.0); // four sums side by side: shorter chains of roundings
    for (var g = 0u; g < params.groups; g++) {
      strands = vec4f(strands.yzw, strands.x + partials[g * stride + i]);
    }
    let sum = (strands.x + strands.y) + (strands.z + strands.w);
    if (i < params.columns) { dWeight[i] = sum; } else { dBias[i - params.columns] = sum; }
  }
}
