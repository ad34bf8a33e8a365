// Soft-max cross-entropy of every anchor row against every view, and its gradient with respect to the similarities.
// Row r = i*B + b is anchor b of global view i; columns j*B … j*B + B - 1 of `similarities` are the predictions of view j.
//   logits[c] = (c == b ? positive[r] . prediction[j*B + b] : similarities[r, j*B + c]) / temperature
// One workgroup per (row, view). d(loss)/d(similarity) takes the place of the similarity, with 0 on the diagonal; `diagonals`
// gets the one of the positive's similarity, both already divided by temperature, batch and number of pairs.
override lanes: u32 = 32u; // a power of two, for the trees below
struct Params { batch: u32, views: u32, globalViews: u32, localFirst: u32, localViews: u32, columns: u32, inverseTemperature: f32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positives: array<f32>;
@group(0) @binding(2) var<storage, read> predictions: array<f32>;
@group(0) @binding(3) var<storage, read_write> similarities: array<f32>; // gradients afterwards
@group(0) @binding(4) var<storage, read_write> diagonals: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<vec2f>; // (cross-entropy, probability of the target) per (row, view)
var<workgroup> partial: array<f32, lanes>;

// How often the pair counts: as a pair of global views, and as a pair of a global and a local one.
fn pair_weight(i: u32, j: u32) -> f32 {
  let asGlobal = select(0.0, 1.0, j < params.globalViews && j != i);
  let asLocal = select(0.0, 1.0, j >= params.localFirst && j < params.localFirst + params.localViews);
  return asGlobal + asLocal;
}

fn sum_partials(lane: u32) -> f32 {
  // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
  for (var stride = lanes / 2u * min(params.batch, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
  }
  workgroupBarrier();
  let total = partial[0];
  workgroupBarrier();
  return total;
}

fn max_partials(lane: u32) -> f32 {
  for (var stride = lanes / 2u * min(params.batch, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] = max(partial[lane], partial[lane + stride]); }
  }
  workgroupBarrier();
  let largest = partial[0];
  workgroupBarrier();
  return largest;
}

@compute @workgroup_size(lanes)
fn contrastive_loss(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let view = group.y;
  let sample = row % params.batch;
  let first = row * params.views * params.batch + view * params.batch;
  let predicted = (view * params.batch + sample) * params.columns;

  partial[lane] = 0.0;
  for (var c = lane; c < params.columns; c += lanes) { partial[lane] += positives[row * params.columns + c] * predictions[predicted + c]; }
  let target_logit = sum_partials(lane) * params.inverseTemperature;

  partial[lane] = target_logit;
  for (var c = lane; c < params.batch; c += lanes) {
    if (c != sample) { partial[lane] = max(partial[lane], similarities[first + c] * params.inverseTemperature); }
  }
  let largest = max_partials(lane);

  partial[lane] = 0.0;
  for (var c = lane; c < params.batch; c += lanes) {
    if (c != sample) { partial[lane] += exp(similarities[first + c] * params.inverseTemperature - largest); }
  }
  let others = sum_partials(lane);
  let positive = exp(target_logit - largest);
  let total = others + positive;

  let weight = pair_weight(row / params.batch, view) * params.scale * params.inverseTemperature;
  for (var c = lane; c < params.batch; c += lanes) {
    let probability = exp(similarities[first + c] * params.inverseTemperature - largest) / total;
    similarities[first + c] = select(weight * probability, 0.0, c == sample);
  }
  if (lane == 0u) {
    let probability = positive / total;
    // probability - 1 = -others / total: the difference would lose all digits near 1.
    diagonals[row * params.views + view] = -weight * others / total;
    losses[row * params.views + view] = vec2f(log(total) + (largest - target_logit), probability);
  }
}
