// y[r, k] = sum, maximum, minimum or product of chunk k of row r of x [rows, columns]; one invocation per chunk. A second pass reduces the chunks.
// Sums are blocked: 64 values in four strands, then the blocks; the rounding error grows with 16 + columns / 64, not with columns.
alias Number = f32; // computed with; u32 or i32 for sums of integers
alias Stored = f32; // as x lies in memory, and y
alias Result = f32;
override operation: u32 = 0u; // index into `reductions` of engine/ops/reduce.ts
struct Params { rows: u32, columns: u32, chunks: u32, chunkLength: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Result>;

fn combine_four(a: vec4<Number>, b: vec4<Number>) -> vec4<Number> {
  if (operation == 1u) { return select(select(b, a, a >= b), a, !(a == a)); } // unlike max, NaN passes from either side
  if (operation == 2u) { return select(select(b, a, a <= b), a, !(a == a)); }
  if (operation == 3u) { return a * b; }
  return a + b;
}

@compute @workgroup_size(64)
fn reduce_rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var job = id.x; job < params.rows * params.chunks; job += groups.x * 64u) {
    let row = job / params.chunks;
    let start = (job % params.chunks) * params.chunkLength;
    var i = row * params.columns + min(start, params.columns);
    let end = row * params.columns + min(start + params.chunkLength, params.columns);
    let first = select(select(Number(0), Number(1), operation == 3u), Number(x[i]), operation == 1u || operation == 2u);
    var total = vec4<Number>(first);
    while (i < end) {
      let blockEnd = min(i + 64u, end);
      var block = vec4<Number>(first);
      for (; i + 4u <= blockEnd; i += 4u) { block = combine_four(block, vec4<Number>(Number(x[i]), Number(x[i + 1u]), Number(x[i + 2u]), Number(x[i + 3u]))); }
      for (; i < blockEnd; i++) { block = combine_four(block, vec4<Number>(Number(x[i]), first, first, first)); }
      total = combine_four(total, block);
    }
    let pairs = combine_four(total, total.zwxy);
    y[job] = Result(Number(params.scale) * combine_four(pairs, pairs.yxwz).x);
  }
}
