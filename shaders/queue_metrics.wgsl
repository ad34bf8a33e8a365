// Means over the chosen neighbours: similarity, age, and share of neighbours of the row's own class (rows without a label
// count in none). One workgroup; a tree keeps the order fixed. Row r belongs to sample r % batch.
override lanes: u32 = 64u; // a power of two, for the tree below
struct Params { rows: u32, batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> neighbours: array<u32>;
@group(0) @binding(2) var<storage, read> similarities: array<f32>;
@group(0) @binding(3) var<storage, read> ages: array<i32>;
@group(0) @binding(4) var<storage, read> queueClasses: array<i32>;
@group(0) @binding(5) var<storage, read> classes: array<i32>;
@group(0) @binding(6) var<storage, read_write> metrics: array<f32>;
var<workgroup> partial: array<vec4f, lanes>;

@compute @workgroup_size(lanes)
fn queue_metrics(@builtin(local_invocation_index) lane: u32) {
  var sum = vec4f();
  for (var row = lane; row < params.rows; row += lanes) {
    let neighbour = neighbours[row];
    let label = classes[row % params.batch];
    let same = select(0.0, 1.0, label >= 0 && queueClasses[neighbour] == label);
    sum += vec4f(similarities[row], f32(ages[neighbour]), same, select(0.0, 1.0, label >= 0));
  }
  partial[lane] = sum;
  for (var stride = lanes / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
  }
  workgroupBarrier();
  if (lane == 0u) {
    metrics[0] = partial[0].x / f32(params.rows);
    metrics[1] = partial[0].y / f32(params.rows);
    metrics[2] = partial[0].z / max(partial[0].w, 1.0);
  }
}
