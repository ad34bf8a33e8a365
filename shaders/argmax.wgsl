// y[o, i] = the first n at which x[o, n, i] is largest, or smallest; NaN comes before all numbers; one thread per output.
override smallest: bool = false;
struct Params { outputs: u32, length: u32, inner: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn argmax(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var output = thread.x; output < params.outputs; output += 64u * groups.x) {
    let first = (output / params.inner) * params.length * params.inner + output % params.inner;
    var best = x[first];
    var place = 0u;
    for (var n = 1u; n < params.length; n += 1u) {
      let value = x[first + n * params.inner];
      let wins = select(value > best, value < best, smallest);
      if (wins || (!(value == value) && best == best)) {
        best = value;
        place = n;
      }
    }
    y[output] = place;
  }
}
