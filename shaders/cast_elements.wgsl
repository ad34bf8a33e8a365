// y[i] = To(x[i]), element by element or four at a time; cast_integers.wgsl for integers of floats.
alias Source = f32; // f32, f16, u32, i32 or a vec4 of it
alias Destination = u32;
const saturates = false; // between u32 and i32: what lies beyond the range of the other takes its end
const largest = 0;       // number that both types hold
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Source>;
@group(0) @binding(2) var<storage, read_write> y: array<Destination>;

@compute @workgroup_size(64)
fn cast_elements(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let v = x[i];
    y[i] = Destination(select(v, clamp(v, Source(0), Source(largest)), saturates));
  }
}
