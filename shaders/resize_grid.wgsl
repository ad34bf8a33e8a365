// y[n, r, c, :] = sum over 4 x 4 taps of x around ((r + 1/2) * rowScale - 1/2, (c + 1/2) * columnScale - 1/2), clamped at the edges.
// Cubic convolution (Keys 1981) with a = -0.75, half-pixel centres, as PyTorch's bicubic interpolation without align_corners.
alias Element = f32; // f32 or vec4f
struct Params {
  count: u32, // Elements of y
  xRows: u32,
  xColumns: u32,
  yRows: u32,
  yColumns: u32,
  width: u32, // Elements per place
  rowScale: f32, // distance in x of neighbours in y
  columnScale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

const sharpness = -0.75;

// Weight of a tap at this distance.
fn cubic(signedDistance: f32) -> f32 {
  let t = abs(signedDistance);
  if (t <= 1.0) { return ((sharpness + 2.0) * t - (sharpness + 3.0)) * t * t + 1.0; }
  if (t < 2.0) { return sharpness * (((t - 5.0) * t + 8.0) * t - 4.0); }
  return 0.0;
}

fn clamped(index: i32, length: u32) -> u32 {
  return u32(clamp(index, 0, i32(length) - 1));
}

@compute @workgroup_size(64)
fn resize_grid(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let place = i / params.width;
    let d = i - place * params.width;
    let line = place / params.yColumns;
    let column = place - line * params.yColumns;
    let n = line / params.yRows;
    let row = line - n * params.yRows;
    let rowCentre = (f32(row) + 0.5) * params.rowScale - 0.5;
    let columnCentre = (f32(column) + 0.5) * params.columnScale - 0.5;
    let firstRow = i32(floor(rowCentre)) - 1;
    let firstColumn = i32(floor(columnCentre)) - 1;
    var sum = Element();
    for (var r = firstRow; r < firstRow + 4; r++) {
      let start = (n * params.xRows + clamped(r, params.xRows)) * params.xColumns;
      var rowSum = Element();
      for (var c = firstColumn; c < firstColumn + 4; c++) {
        rowSum += cubic(columnCentre - f32(c)) * x[(start + clamped(c, params.xColumns)) * params.width + d];
      }
      sum += cubic(rowCentre - f32(r)) * rowSum;
    }
    y[i] = sum;
  }
}
