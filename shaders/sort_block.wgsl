// Sorts blocks of each row by key, equal keys by their place, and keeps the first ones of each block: a bitonic network (Batcher, 1968) in
// workgroup memory. The first pass makes keys of numbers, such that unsigned order is the wanted one and NaN is the largest number.
const block = 1024u; // a power of two
override first: bool = true; // keys are still numbers
override kind: u32 = 0u; // of the numbers: 0 f32, 1 u32, 2 i32
override descending: bool = false;
struct Params { rows: u32, length: u32, blocks: u32, kept: u32, keptLength: u32 } // kept: of each block; keptLength: of a row in the result
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> sortedKeys: array<u32>;
@group(0) @binding(4) var<storage, read_write> sortedPlaces: array<u32>;
var<workgroup> items: array<vec2u, block>;

fn key_of(bits: u32) -> u32 {
  var key = bits;
  if (kind == 0u) {
    let size = bits & 0x7fffffffu;
    key = select(select(bits | 0x80000000u, ~bits, bits > 0x80000000u), 0xffffffffu, size > 0x7f800000u);
    if (size == 0u) { key = 0x80000000u; } // -0 equals 0
  }
  if (kind == 2u) { key = bits ^ 0x80000000u; }
  return select(key, ~key, descending);
}

fn comes_before(a: vec2u, b: vec2u) -> bool {
  return a.x < b.x || (a.x == b.x && a.y < b.y);
}

@compute @workgroup_size(256)
fn sort_block(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(params.blocks, params.rows));
  if (group.z > 0u) { return; }
  let start = group.x * block;
  for (var i = lane; i < block; i += 256u) {
    let at = start + i;
    let origin = group.y * params.length + min(at, params.length - 1u);
    // What is behind the row comes last: no place is as large.
    var item = vec2u(0xffffffffu, 0xffffffffu);
    if (at < params.length) {
      if (first) { item = vec2u(key_of(keys[origin]), at); } else { item = vec2u(keys[origin], places[origin]); }
    }
    items[i] = item;
  }
  for (var size = 2u; size <= block; size *= 2u) {
    for (var stride = size / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      for (var pair = lane; pair < block / 2u; pair += 256u) {
        let low = 2u * pair - (pair & (stride - 1u));
        let a = items[low];
        let b = items[low + stride];
        if (comes_before(b, a) == ((low & size) == 0u)) {
          items[low] = b;
          items[low + stride] = a;
        }
      }
    }
  }
  workgroupBarrier();
  for (var i = lane; i < params.kept; i += 256u) {
    let at = group.x * params.kept + i;
    if (at < params.keptLength) {
      sortedKeys[group.y * params.keptLength + at] = items[i].x;
      sortedPlaces[group.y * params.keptLength + at] = items[i].y;
    }
  }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
