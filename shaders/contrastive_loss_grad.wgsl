// Adds the positives' share to the gradient of the predictions and scales by the gradient of the loss:
//   dPredictions[j*B + b] = dLoss * (products[j*B + b] + sum_i diagonals[i*B + b, j] * positives[i*B + b])
struct Params { batch: u32, views: u32, globalViews: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read> diagonals: array<f32>;
@group(0) @binding(3) var<storage, read> positives: array<f32>;
@group(0) @binding(4) var<storage, read> dLoss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dPredictions: array<f32>;

@compute @workgroup_size(64)
fn contrastive_loss_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let count = params.views * params.batch * params.columns;
  for (var at = id.x; at < count; at += groups.x * 64u) {
    let column = at % params.columns;
    let row = at / params.columns;
    let view = row / params.batch;
    let sample = row % params.batch;
    var sum = products[at];
    for (var i = 0u; i < params.globalViews; i++) {
      let anchor = i * params.batch + sample;
      sum += diagonals[anchor * params.views + view] * positives[anchor * params.columns + column];
    }
    dPredictions[at] = dLoss[0] * sum;
  }
}
