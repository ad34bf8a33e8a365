// dx = the transpose of resize_grid applied to dy: every place of x gathers from the places of y whose taps reach it.
alias Element = f32; // f32 or vec4f
struct Params {
  count: u32, // Elements of dx
  xRows: u32,
  xColumns: u32,
  yRows: u32,
  yColumns: u32,
  width: u32, // Elements per place
  rowScale: f32, // distance in x of neighbours in y
  columnScale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Element>;
@group(0) @binding(2) var<storage, read_write> dx: array<Element>;

const sharpness = -0.75;

// Weight of a tap at this distance.
fn cubic(signedDistance: f32) -> f32 {
  let t = abs(signedDistance);
  if (t <= 1.0) { return ((sharpness + 2.0) * t - (sharpness + 3.0)) * t * t + 1.0; }
  if (t < 2.0) { return sharpness * (((t - 5.0) * t + 8.0) * t - 4.0); }
  return 0.0;
}

// Share of x[index] in y[place] along one axis; taps beyond an edge count for the edge.
fn share(index: u32, place: u32, length: u32, scale: f32) -> f32 {
  let centre = (f32(place) + 0.5) * scale - 0.5;
  let first = i32(floor(centre)) - 1;
  var sum = 0.0;
  for (var tap = first; tap < first + 4; tap++) {
    if (u32(clamp(tap, 0, i32(length) - 1)) == index) { sum += cubic(centre - f32(tap)); }
  }
  return sum;
}

// First and last place of y that x[index] may reach: its centre lies within 2 of the index, or beyond the edge.
fn reach(index: u32, length: u32, places: u32, scale: f32) -> vec2u {
  var first = 0u;
  var last = places - 1u;
  if (index > 0u) { first = u32(clamp(floor((f32(index) - 1.5) / scale - 0.5), 0.0, f32(last))); }
  if (index + 1u < length) { last = u32(clamp(ceil((f32(index) + 2.5) / scale - 0.5), 0.0, f32(last))); }
  return vec2u(first, last);
}

@compute @workgroup_size(64)
fn resize_grid_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let place = i / params.width;
    let d = i - place * params.width;
    let line = place / params.xColumns;
    let column = place - line * params.xColumns;
    let n = line / params.xRows;
    let row = line - n * params.xRows;
    let rows = reach(row, params.xRows, params.yRows, params.rowScale);
    let columns = reach(column, params.xColumns, params.yColumns, params.columnScale);
    var sum = Element();
    for (var r = rows.x; r <= rows.y; r++) {
      let rowShare = share(row, r, params.xRows, params.rowScale);
      if (rowShare == 0.0) { continue; }
      var rowSum = Element();
      for (var c = columns.x; c <= columns.y; c++) {
        let start = (n * params.yRows + r) * params.yColumns + c;
        rowSum += share(column, c, params.xColumns, params.columnScale) * dy[start * params.width + d];
      }
      sum += rowShare * rowSum;
    }
    dx[i] = sum;
  }
}
