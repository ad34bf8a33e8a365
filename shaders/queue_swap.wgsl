// The chosen neighbour of each row, queue[indices[r, choice[r]]], and the row itself, both scaled to unit length as the loss
// needs them: units = [rows at 0, neighbours from `second` on]. A row of zeros stays zero. One workgroup per row.
override lanes: u32 = 32u; // a power of two, for the trees below
struct Params { rows: u32, columns: u32, k: u32, second: u32, epsilon: f32 } // epsilon: smallest length divided by
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> projections: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> similarities: array<f32>;
@group(0) @binding(4) var<storage, read> choice: array<u32>;
@group(0) @binding(5) var<storage, read> queue: array<f32>;
@group(0) @binding(6) var<storage, read_write> units: array<f32>;
@group(0) @binding(7) var<storage, read_write> neighbours: array<u32>;
@group(0) @binding(8) var<storage, read_write> chosenSimilarities: array<f32>;
var<workgroup> partial: array<vec2f, lanes>;

fn sum_pairs(value: vec2f, lane: u32) -> vec2f {
  workgroupBarrier();
  partial[lane] = value;
  // No constant to start from: software adapters would unroll the loop, and barriers take long to compile.
  for (var stride = lanes / 2u * min(params.rows, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
  }
  workgroupBarrier();
  return partial[0];
}

fn max_pairs(value: vec2f, lane: u32) -> vec2f {
  workgroupBarrier();
  partial[lane] = value;
  for (var stride = lanes / 2u * min(params.rows, 1u); stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] = max(partial[lane], partial[lane + stride]); }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(lanes)
fn queue_swap(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var row = group.x; row < params.rows; row += groups.x) {
    let rank = row * params.k + min(choice[row], params.k - 1u);
    let neighbour = indices[rank];
    let own = row * params.columns;
    let other = neighbour * params.columns;
    // Squares are taken of the values over the largest, so that they neither overflow nor vanish.
    var size = vec2f();
    for (var c = lane; c < params.columns; c += lanes) { size = max(size, abs(vec2f(projections[own + c], queue[other + c]))); }
    let largest = max(max_pairs(size, lane), vec2f(1e-30));
    let shrink = 1.0 / largest;
    var squares = vec2f();
    for (var c = lane; c < params.columns; c += lanes) {
      let v = vec2f(projections[own + c], queue[other + c]) * shrink;
      squares += v * v;
    }
    let factor = 1.0 / max(largest * sqrt(sum_pairs(squares, lane)), vec2f(params.epsilon));
    for (var c = lane; c < params.columns; c += lanes) {
      units[own + c] = factor.x * projections[own + c];
      units[params.second + own + c] = factor.y * queue[other + c];
    }
    if (lane == 0u) {
      neighbours[row] = neighbour;
      chosenSimilarities[row] = similarities[rank];
    }
  }
}
