// Layer norm backward in one kernel. With h = (x - mean) rstd and g = dy weight:
//   dx = residual + rstd (g - mean(g) - h mean(g h)),   partials[group] = [sum(dy h), sum(dy)] over the rows of the group.
// A workgroup takes blocks of `blockRows` rows: first `team` lanes per row sum along it, then the lanes run along the columns
// and down the rows. x and dy are read twice, the second time from the cache; layer_norm_grad_columns adds up the partials.
alias Element = vec4f;    // f32 where the width is not a multiple of 4
alias Stored = vec4f;     // x, dy, residual, dx as they lie in memory; f16 or vec4<f16> for half precision
const share = 1.0;        // 0.25 for an Element of f32: dot(vec4f(v), vec4f(share)) is then v, else the sum of the four
const blockRows = 64u;    // a divisor of 64
const lanes = 64u;
const team = lanes / blockRows;
// columns in Elements, width in numbers; without addsResidual `residual` is bound to any tensor and never read
struct Params { rows: u32, columns: u32, width: f32, addsResidual: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<Element>;
@group(0) @binding(5) var<storage, read> dy: array<Stored>;
@group(0) @binding(6) var<storage, read> residual: array<Stored>;
@group(0) @binding(7) var<storage, read_write> dx: array<Stored>;
@group(0) @binding(8) var<storage, read_write> partials: array<Element>; // [groups, 2, columns]
struct Row { centre: f32, scale: f32, meanGradient: f32, meanProduct: f32 }
var<workgroup> sums: array<vec2f, lanes>;
var<workgroup> table: array<Row, blockRows>;

fn across(v: Element) -> f32 { return dot(vec4f(v), vec4f(share)); }

@compute @workgroup_size(lanes)
fn layer_norm_grad(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var firstRow = group.x * blockRows; firstRow < params.rows; firstRow += groups.x * blockRows) {
    let rowCount = min(blockRows, params.rows - firstRow);
    let own = firstRow + min(lane / team, rowCount - 1u); // lanes beyond the last row repeat it
    let first = own * params.columns;
    let centre = mean[own];
    let scale = rstd[own];
    var gradient = Element(0.0);
    var product = Element(0.0);
    for (var c = lane % team; c < params.columns; c += team) {
      let g = Element(dy[first + c]) * weight[c];
      gradient += g;
      product += g * ((Element(x[first + c]) - centre) * scale);
    }
    sums[lane] = vec2f(across(gradient), across(product));
    workgroupBarrier();
    if (lane < rowCount) {
      var sum = vec2f(0.0);
      for (var k = 0u; k < team; k++) { sum += sums[lane * team + k]; }
      let row = firstRow + lane;
      table[lane] = Row(mean[row], rstd[row], sum.x / params.width, sum.y / params.width);
    }
    workgroupBarrier();
    for (var c = lane; c < params.columns; c += lanes) {
      let factor = weight[c];
      var dWeight = Element(0.0);
      var dBias = Element(0.0);
      for (var r = 0u; r < rowCount; r++) {
        let i = (firstRow + r) * params.columns + c;
        let row = table[r];
        let d = Element(dy[i]);
        let h = (Element(x[i]) - row.centre) * row.scale;
        dWeight += d * h;
        dBias += d;
        var result = row.scale * (d * factor - row.meanGradient - h * row.meanProduct);
        if (params.addsResidual != 0u) { result += Element(residual[i]); }
        dx[i] = Stored(result);
      }
      let at = group.x * 2u * params.columns + c;
      if (firstRow != group.x * blockRows) { // a later block of this group
        dWeight += partials[at];
        dBias += partials[at + params.columns];
      }
      partials[at] = dWeight;
      partials[at + params.columns] = dBias;
    }
    workgroupBarrier(); // the table is overwritten by the next block
  }
}
