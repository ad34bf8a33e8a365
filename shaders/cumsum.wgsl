// y[o, n, i] = offset[o, k, i] + the sum of x[o, m, i] over the m of chunk k up to n, x being [outer, length, inner]; one invocation per chunk.
// Or, in a pass before, only the sum of each chunk.
override totals: bool = false; // y[o, k, i] is the sum of chunk k
override hasOffset: bool = false;
override backwards: bool = false; // the last element comes first
override exclusive: bool = false; // without the element itself
struct Params { count: u32, length: u32, inner: u32, chunks: u32, chunkLength: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> offset: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn cumsum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var job = id.x; job < params.count; job += groups.x * 64u) {
    let inner = job % params.inner;
    let chunk = job / params.inner % params.chunks;
    let outer = job / params.inner / params.chunks;
    let start = min(chunk * params.chunkLength, params.length);
    let end = min(start + params.chunkLength, params.length);
    var total = 0.0;
    if (hasOffset) { total = offset[job]; }
    for (var n = start; n < end; n++) {
      let at = (outer * params.length + select(n, params.length - 1u - n, backwards)) * params.inner + inner;
      let before = total;
      total += x[at];
      if (!totals) { y[at] = select(total, before, exclusive); }
    }
    if (totals) { y[job] = total; }
  }
}
