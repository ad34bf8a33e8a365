// y[first + i] = Destination(x[i]), four elements at a time: a piece of state into a place of other state, whose type may be another.
alias Destination = vec4<f32>; // or vec4<f16>
struct Params { count: u32, first: u32 } // vec4s
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<Destination>;

@compute @workgroup_size(64)
fn cast_into(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { y[params.first + i] = Destination(x[i]); }
}
