// y[i] = To(x[i]) for integers of floats, one at a time or four: truncated, and the ends of the range where x lies beyond. NaN becomes 0.
alias Source = f32; // f32, f16 or a vec4 of it
alias Value = f32;  // f32 or vec4f
alias Destination = u32; // u32, i32 or a vec4 of it
const limit = 4294967296.0; // first number over the range
const largest = 4294967295; // last integer of it
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Source>;
@group(0) @binding(2) var<storage, read_write> y: array<Destination>;

@compute @workgroup_size(64)
fn cast_integers(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let v = Value(x[i]);
    let inside = select(Destination(v), Destination(0), !(v == v));
    y[i] = select(inside, Destination(largest), v >= Value(limit));
  }
}
