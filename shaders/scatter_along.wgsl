// y[o, indices[o, n, i], i] = values[o, n, i], or plus it, in the order of n; elsewhere y is x, or 0. One invocation per line, so that no two
// write to one place. An index past the end changes nothing and raises the flag.
alias Stored = f32; // as x and the values lie in memory; f16 for half precision
override adds: bool = false; // to a table of zeros
struct Params { count: u32, length: u32, inner: u32, resultLength: u32, slot: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> values: array<Stored>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;
@group(0) @binding(5) var<storage, read_write> flags: array<atomic<u32>>;

@compute @workgroup_size(64)
fn scatter_along(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var line = id.x; line < params.count; line += groups.x * 64u) {
    let first = line / params.inner * params.resultLength * params.inner + line % params.inner;
    for (var n = 0u; n < params.resultLength; n++) {
      let at = first + n * params.inner;
      if (adds) { y[at] = Stored(); } else { y[at] = x[at]; }
    }
    for (var n = 0u; n < params.length; n++) {
      let origin = (line / params.inner * params.length + n) * params.inner + line % params.inner;
      let index = indices[origin];
      if (index >= params.resultLength) {
        atomicMax(&flags[params.slot], select(index + 1u, index, index > 0x80000000u));
        continue;
      }
      let at = first + index * params.inner;
      if (adds) { y[at] = Stored(f32(y[at]) + f32(values[origin])); } else { y[at] = values[origin]; }
    }
  }
}
