// y[i] = value; one invocation per word. The value is a bit pattern, so that one kernel serves f32, u32 and i32.
struct Params { count: u32, bits: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn fill(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = groups.x * 64u;
  for (var i = id.x; i < params.count; i += stride) { y[i] = params.bits; }
}
