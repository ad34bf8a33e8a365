// Merges the lists that the segments of a bank left for each query, and sorts: best first, the lower index first among equals.
struct Params { queries: u32, rows: u32, k: u32, segments: u32 }
struct Entry { similarity: f32, index: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lists: array<Entry>; // [query, segment, k], each list a heap with its worst entry first
@group(0) @binding(2) var<storage, read_write> similarities: array<f32>; // [query, k]; with `indices` also the heap while merging
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;

fn worse(a: Entry, b: Entry) -> bool {
  return a.similarity < b.similarity || (a.similarity == b.similarity && a.index > b.index);
}

fn entry_at(place: u32) -> Entry { return Entry(similarities[place], indices[place]); }

fn store(place: u32, entry: Entry) {
  similarities[place] = entry.similarity;
  indices[place] = entry.index;
}

// Puts `entry` in the place of the root of the heap of `count` entries at `first`.
fn replace_root(first: u32, count: u32, entry: Entry) {
  var place = 0u;
  for (var child = 1u; child < count; child = 2u * place + 1u) {
    var next = entry_at(first + child);
    if (child + 1u < count) {
      let sibling = entry_at(first + child + 1u);
      if (worse(sibling, next)) {
        next = sibling;
        child += 1u;
      }
    }
    if (!worse(next, entry)) { break; }
    store(first + place, next);
    place = child;
  }
  store(first + place, entry);
}

@compute @workgroup_size(64)
fn nearest_merge(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let k = params.k;
  for (var query = thread.x; query < params.queries; query += 64u * groups.x) {
    let first = query * k;
    let candidates = query * params.segments * k;
    for (var j = 0u; j < k; j += 1u) { store(first + j, lists[candidates + j]); }
    var worst = entry_at(first); // in registers: most candidates are worse, and their only load is their own
    for (var j = k; j < params.segments * k; j += 1u) {
      let entry = lists[candidates + j];
      if (worse(worst, entry)) {
        replace_root(first, k, entry);
        worst = entry_at(first);
      }
    }
    // Heap sort: the worst of what is left goes to the end.
    for (var count = k - 1u; count > 0u; count -= 1u) {
      let worst = entry_at(first);
      let moved = entry_at(first + count);
      replace_root(first, count, moved);
      store(first + count, worst);
    }
    // Only rows of NaN can leave a place empty; an index stays one of a row all the same.
    for (var j = 0u; j < k; j += 1u) { indices[first + j] = min(indices[first + j], params.rows - 1u); }
  }
}
