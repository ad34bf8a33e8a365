// Turns the products of the similarities' gradient with the anchors into the gradient of the predictions: adds the positives'
// share, scales by the gradient of the loss, and goes back through the scaling to unit length (see l2_normalize_grad):
//   g[j*B + b] = products[j*B + b] + sum_i diagonals[i*B + b, j] * positives[i*B + b]
//   dPredictions = dLoss * scale * (g - unit (unit . g))
// One workgroup per row; a row's products are read and overwritten by the same thread.
override lanes: u32 = 32u; // a power of two, for the tree below
struct Params { batch: u32, views: u32, globalViews: u32, columns: u32, floor: f32 } // floor: scale of rows that were divided by epsilon
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> diagonals: array<f32>;
@group(0) @binding(2) var<storage, read> positives: array<f32>;
@group(0) @binding(3) var<storage, read> dLoss: array<f32>;
@group(0) @binding(4) var<storage, read> units: array<f32>;
@group(0) @binding(5) var<storage, read> scale: array<f32>;
@group(0) @binding(6) var<storage, read_write> dPredictions: array<f32>; // the products before
var<workgroup> partial: array<f32, lanes>;

fn sum_lanes(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
  for (var stride = lanes / 2u * min(params.batch, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(lanes)
fn contrastive_loss_grad(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.views * params.batch; row += groups.x) {
    let view = row / params.batch;
    let sample = row % params.batch;
    let first = row * params.columns;
    var product = 0.0;
    for (var c = lane; c < params.columns; c += lanes) {
      var sum = dPredictions[first + c];
      for (var i = 0u; i < params.globalViews; i++) {
        let anchor = i * params.batch + sample;
        sum += diagonals[anchor * params.views + view] * positives[anchor * params.columns + c];
      }
      dPredictions[first + c] = sum;
      product += units[first + c] * sum;
    }
    let factor = scale[row];
    let total = sum_lanes(product, lane);
    let along = select(total, 0.0, factor >= params.floor);
    for (var c = lane; c < params.columns; c += lanes) {
      dPredictions[first + c] = dLoss[0] * factor * (dPredictions[first + c] - along * units[first + c]);
    }
  }
}
