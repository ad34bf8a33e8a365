// Merges the lists of nearest_merge, a workgroup for each query: round by round the best entry that is worse than the one before, until
// there are k. The order of entries is total, so that nothing needs to be marked as taken. For GPUs, where one invocation for a query
// would wait for one load after another, and few queries would leave most of the device idle.
const lanes = 64u;
const lowest = -0x1.fffffep+127f; // similarity of an empty place
struct Params { queries: u32, rows: u32, k: u32, segments: u32 }
struct Entry { similarity: f32, index: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lists: array<Entry>; // [query, segment, k]
@group(0) @binding(2) var<storage, read_write> similarities: array<f32>; // [query, k], best first, the lower index first among equals
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;
var<workgroup> bests: array<Entry, lanes>;

fn worse(a: Entry, b: Entry) -> bool {
  return a.similarity < b.similarity || (a.similarity == b.similarity && a.index > b.index);
}

@compute @workgroup_size(lanes)
fn nearest_merge_shared(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let count = params.segments * params.k;
  for (var query = workgroup.x; query < params.queries; query += grid.x) {
    var before = Entry(-lowest, 0u); // better than any
    for (var place = 0u; place < params.k; place++) {
      var best = Entry(lowest, 0xffffffffu);
      for (var i = lane; i < count; i += lanes) {
        let entry = lists[query * count + i];
        if (worse(entry, before) && worse(best, entry)) { best = entry; }
      }
      bests[lane] = best;
      // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
      for (var stride = lanes / 2u * min(params.k, 1u); stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if (lane < stride && worse(bests[lane], bests[lane + stride])) { bests[lane] = bests[lane + stride]; }
      }
      workgroupBarrier();
      before = bests[0];
      workgroupBarrier(); // everybody has it
      if (lane == 0u) {
        similarities[query * params.k + place] = before.similarity;
        // Only rows of NaN can leave a place empty; an index stays one of a row all the same.
        indices[query * params.k + place] = min(before.index, params.rows - 1u);
      }
    }
  }
}
