// Means over the tables of contrastive_loss: total loss, then loss and target probability (alignment) of the pairs of
// global views and of the pairs with local views. One workgroup; a tree per value keeps the order fixed.
override lanes: u32 = 64u; // a power of two, for the tree below
struct Params { batch: u32, views: u32, globalViews: u32, localFirst: u32, localViews: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> losses: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> summary: array<f32>;
var<workgroup> partial: array<vec4f, lanes>;

@compute @workgroup_size(lanes)
fn contrastive_summary(@builtin(local_invocation_index) lane: u32) {
  let count = params.globalViews * params.batch * params.views;
  var sum = vec4f();
  for (var entry = lane; entry < count; entry += lanes) {
    let view = entry % params.views;
    let anchor = entry / params.views / params.batch;
    let value = losses[entry];
    if (view < params.globalViews && view != anchor) { sum += vec4f(value.x, value.y, 0.0, 0.0); }
    if (view >= params.localFirst && view < params.localFirst + params.localViews) { sum += vec4f(0.0, 0.0, value.x, value.y); }
  }
  partial[lane] = sum;
  for (var stride = lanes / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
  }
  workgroupBarrier();
  if (lane == 0u) {
    let globalPairs = f32(params.globalViews * (params.globalViews - 1u) * params.batch);
    let localPairs = f32(params.globalViews * params.localViews * params.batch);
    summary[0] = (partial[0].x + partial[0].z) / (globalPairs + localPairs);
    summary[1] = partial[0].x / max(globalPairs, 1.0);
    summary[2] = partial[0].y / max(globalPairs, 1.0);
    summary[3] = partial[0].z / max(localPairs, 1.0);
    summary[4] = partial[0].w / max(localPairs, 1.0);
  }
}
