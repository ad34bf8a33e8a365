// Merges neighbouring sorted runs of each row: an item's place is its own in its run plus the number of items of the other run before it.
struct Params { count: u32, length: u32, run: u32 } // items of all rows, of a row, of a run
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> mergedKeys: array<u32>;
@group(0) @binding(4) var<storage, read_write> mergedPlaces: array<u32>;

fn comes_before(a: vec2u, b: vec2u) -> bool {
  return a.x < b.x || (a.x == b.x && a.y < b.y);
}

@compute @workgroup_size(64)
fn sort_merge(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let row = i / params.length * params.length;
    let at = i - row;
    let pair = at / (2u * params.run) * (2u * params.run); // where both runs begin
    let middle = min(pair + params.run, params.length);
    let end = min(pair + 2u * params.run, params.length);
    let isLeft = at < middle;
    let item = vec2u(keys[i], places[i]);
    let start = select(pair, middle, isLeft);
    var low = start;
    var high = select(middle, end, isLeft);
    while (low < high) {
      let half = (low + high) / 2u;
      if (comes_before(vec2u(keys[row + half], places[row + half]), item)) { low = half + 1u; } else { high = half; }
    }
    let merged = row + pair + (at - select(middle, pair, isLeft)) + (low - start);
    mergedKeys[merged] = item.x;
    mergedPlaces[merged] = item.y;
  }
}
