// y[o, k, i] = sum, maximum, minimum or product over n in chunk k of x[o, n, i], x being [outer, length, inner]; one invocation per result. A second
// pass reduces the chunks. Sums are blocked by 64, so that the rounding error grows with 64 + length / 64, not with length.
alias Number = f32; // computed with; u32 or i32 for sums of integers
alias Stored = f32; // as x lies in memory, and y
alias Result = f32;
override operation: u32 = 0u; // index into `reductions` of engine/ops/reduce.ts
struct Params { count: u32, length: u32, inner: u32, chunks: u32, chunkLength: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Result>;

fn combine(a: Number, b: Number) -> Number {
  if (operation == 1u) { return select(select(b, a, a >= b), a, !(a == a)); } // unlike max, NaN passes from either side
  if (operation == 2u) { return select(select(b, a, a <= b), a, !(a == a)); }
  if (operation == 3u) { return a * b; }
  return a + b;
}

@compute @workgroup_size(64)
fn reduce_columns(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var job = id.x; job < params.count; job += groups.x * 64u) {
    let inner = job % params.inner;
    let chunk = job / params.inner % params.chunks;
    let outer = job / params.inner / params.chunks;
    let start = min(chunk * params.chunkLength, params.length);
    let end = min(start + params.chunkLength, params.length);
    var i = (outer * params.length + start) * params.inner + inner;
    let first = select(select(Number(0), Number(1), operation == 3u), Number(x[i]), operation == 1u || operation == 2u);
    var total = first;
    for (var n = start; n < end; n += 64u) {
      var block = first;
      for (var k = n; k < min(n + 64u, end); k++) {
        block = combine(block, Number(x[i]));
        i += params.inner;
      }
      total = combine(total, block);
    }
    y[job] = Result(Number(params.scale) * total);
  }
}
