// RMS norm backward. With h = x rstd and g = dy weight:
//   dx = residual + rstd (g - h mean(g h)),   partials[group] = sum(dy h) over the rows of the group.
// A workgroup takes blocks of `blockRows` rows: first `team` lanes per row sum along it, then the lanes run along the columns
// and down the rows. x and dy are read twice, the second time from the cache; a column sum adds up the partials.
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
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<Element>;
@group(0) @binding(4) var<storage, read> dy: array<Stored>;
@group(0) @binding(5) var<storage, read> residual: array<Stored>;
@group(0) @binding(6) var<storage, read_write> dx: array<Stored>;
@group(0) @binding(7) var<storage, read_write> partials: array<Element>; // [groups, columns]
struct Row { scale: f32, meanProduct: f32 }
var<workgroup> sums: array<f32, lanes>;
var<workgroup> table: array<Row, blockRows>;

fn across(v: Element) -> f32 { return dot(vec4f(v), vec4f(share)); }

@compute @workgroup_size(lanes)
fn rms_norm_grad(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var firstRow = group.x * blockRows; firstRow < params.rows; firstRow += groups.x * blockRows) {
    let rowCount = min(blockRows, params.rows - firstRow);
    let own = firstRow + min(lane / team, rowCount - 1u); // lanes beyond the last row repeat it
    let first = own * params.columns;
    let scale = rstd[own];
    var product = Element(0.0);
    for (var c = lane % team; c < params.columns; c += team) {
      product += Element(dy[first + c]) * weight[c] * (Element(x[first + c]) * scale);
    }
    sums[lane] = across(product);
    workgroupBarrier();
    if (lane < rowCount) {
      var sum = 0.0;
      for (var k = 0u; k < team; k++) { sum += sums[lane * team + k]; }
      table[lane] = Row(rstd[firstRow + lane], sum / params.width);
    }
    workgroupBarrier();
    for (var c = lane; c < params.columns; c += lanes) {
      let factor = weight[c];
      var dWeight = Element(0.0);
      for (var r = 0u; r < rowCount; r++) {
        let i = (firstRow + r) * params.columns + c;
        let row = table[r];
        let d = Element(dy[i]);
        let h = Element(x[i]) * row.scale;
        dWeight += d * h;
        var result = row.scale * (d * factor - h * row.meanProduct);
        if (params.addsResidual != 0u) { result += Element(residual[i]); }
        dx[i] = Stored(result);
      }
      let at = group.x * params.columns + c;
      if (firstRow != group.x * blockRows) { dWeight += partials[at]; } // a later block of this group
      partials[at] = dWeight;
    }
    workgroupBarrier(); // the table is overwritten by the next block
  }
}
