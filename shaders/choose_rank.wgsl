// choice[r] = min(floor(uniform[r] * k), k - 1): a uniform draw among the k nearest.
struct Params { rows: u32, k: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> uniforms: array<f32>;
@group(0) @binding(2) var<storage, read_write> choice: array<u32>;

@compute @workgroup_size(64)
fn choose_rank(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.rows) { choice[id.x] = min(u32(uniforms[id.x] * f32(params.k)), params.k - 1u); }
}
