// Each row of keys, ranked: rank[r, i] = number of keys before key i (by value, then by place), order[r, rank[r, i]] = i.
struct Params { rows: u32, length: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> rank: array<u32>;

@compute @workgroup_size(64)
fn random_permutation(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var at = thread.x; at < params.rows * params.length; at += 64u * groups.x) {
    let first = at - at % params.length;
    let key = keys[at];
    var before = 0u;
    for (var j = first; j < first + params.length; j += 1u) {
      let other = keys[j];
      before += select(0u, 1u, other < key || (other == key && j < at));
    }
    rank[at] = before;
    order[first + before] = at - first;
  }
}
