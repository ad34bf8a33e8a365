// Eight numbers of a head. Means over the tables of contrastive_loss: total loss, then loss and target probability (alignment)
// of the pairs of global views and of the pairs with local views. Means over the chosen neighbours: similarity, age, and share
// of neighbours of the row's own class (rows without a label count in none); row r belongs to sample r % batch. Then the
// queue's pointer moves by `stored` entries, here, since queue_insert reads it in every invocation.
// One workgroup; a tree per value keeps the order fixed.
override lanes: u32 = 64u; // a power of two, for the tree below
struct Params {
  batch: u32, views: u32, globalViews: u32, localFirst: u32, localViews: u32,
  rows: u32, entries: u32, stored: u32, first: u32, // first: place of the eight numbers in `metrics`
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> losses: array<vec2f>;
@group(0) @binding(2) var<storage, read> neighbours: array<u32>;
@group(0) @binding(3) var<storage, read> similarities: array<f32>;
@group(0) @binding(4) var<storage, read> ages: array<i32>;
@group(0) @binding(5) var<storage, read> queueClasses: array<i32>;
@group(0) @binding(6) var<storage, read> classes: array<i32>;
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(8) var<storage, read_write> pointer: array<u32>;
var<workgroup> pairs: array<vec4f, lanes>; // loss and probability of global pairs, then of local ones
var<workgroup> chosen: array<vec4f, lanes>; // similarity, age, agreement, labelled rows

fn pair_sums(lane: u32) -> vec4f {
  let count = params.globalViews * params.batch * params.views;
  var sum = vec4f();
  for (var entry = lane; entry < count; entry += lanes) {
    let view = entry % params.views;
    let anchor = entry / params.views / params.batch;
    let value = losses[entry];
    if (view < params.globalViews && view != anchor) { sum += vec4f(value.x, value.y, 0.0, 0.0); }
    if (view >= params.localFirst && view < params.localFirst + params.localViews) { sum += vec4f(0.0, 0.0, value.x, value.y); }
  }
  return sum;
}

fn neighbour_sums(lane: u32) -> vec4f {
  var sum = vec4f();
  for (var row = lane; row < params.rows; row += lanes) {
    let neighbour = neighbours[row];
    let label = classes[row % params.batch];
    let same = select(0.0, 1.0, label >= 0 && queueClasses[neighbour] == label);
    sum += vec4f(similarities[row], f32(ages[neighbour]), same, select(0.0, 1.0, label >= 0));
  }
  return sum;
}

@compute @workgroup_size(lanes)
fn contrastive_summary(@builtin(local_invocation_index) lane: u32) {
  pairs[lane] = pair_sums(lane);
  chosen[lane] = neighbour_sums(lane);
  // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
  for (var stride = lanes / 2u * min(params.batch, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      pairs[lane] += pairs[lane + stride];
      chosen[lane] += chosen[lane + stride];
    }
  }
  workgroupBarrier();
  if (lane == 0u) {
    let globalPairs = f32(params.globalViews * (params.globalViews - 1u) * params.batch);
    let localPairs = f32(params.globalViews * params.localViews * params.batch);
    let at = params.first;
    metrics[at] = (pairs[0].x + pairs[0].z) / (globalPairs + localPairs);
    metrics[at + 1u] = pairs[0].x / max(globalPairs, 1.0);
    metrics[at + 2u] = pairs[0].y / max(globalPairs, 1.0);
    metrics[at + 3u] = pairs[0].z / max(localPairs, 1.0);
    metrics[at + 4u] = pairs[0].w / max(localPairs, 1.0);
    let rows = max(f32(params.rows), 1.0);
    metrics[at + 5u] = chosen[0].x / rows;
    metrics[at + 6u] = chosen[0].y / rows;
    metrics[at + 7u] = chosen[0].z / max(chosen[0].w, 1.0);
    pointer[0] = (pointer[0] + params.stored) % params.entries;
  }
}
