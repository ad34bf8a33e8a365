// Batch norm in training (arXiv 1502.03167): y = (x - mean) / sqrt(variance + epsilon) * weight + bias per column, with mean and
// biased variance of this batch; the running estimates move towards mean and unbiased variance. saved = [mean, 1 / deviation].
// A workgroup takes a few columns whole, so that statistics and result need one launch.
alias Element = vec4f;             // f32 where the number of columns is not a multiple of 4
const lanes = 64u;
const team = 8u;                   // threads that share a column
const across = lanes / team;       // columns (Elements) per workgroup
struct Params { rows: u32, columns: u32, epsilon: f32, momentum: f32, activates: u32 } // columns in Elements; activates: GELU follows
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read> bias: array<Element>;
@group(0) @binding(4) var<storage, read_write> y: array<Element>;
@group(0) @binding(5) var<storage, read_write> saved: array<Element>;
@group(0) @binding(6) var<storage, read_write> runningMean: array<Element>;
@group(0) @binding(7) var<storage, read_write> runningVariance: array<Element>;
@group(0) @binding(8) var<storage, read_write> batches: array<u32>;
var<workgroup> partial: array<Element, lanes>;

// Within 8e-8 of erf. Two fits of least maximum error (float64, own): an odd polynomial below 1; above it 1 - 2^p(|x|),
// where exp2 gives values below 0.16 only, so that its error is damped. The first factor is split as 0.128 + 1, which saves a
// rounding. Every kernel that needs erf carries this text.
fn erf(x: Element) -> Element {
  let u = min(abs(x), Element(4.0)); // erf(4) is 1 in f32
  let z = u * u;
  let inner = ((((((7.6471100e-5 * z - 7.9423538e-4) * z + 5.1797493e-3) * z - 2.6848592e-2) * z + 1.1283430e-1) * z
    - 3.7612605e-1) * z + 1.2837915e-1) * u + u;
  let p = (((((1.4518470e-4 * u - 3.0638007e-3) * u + 2.6850788e-2) * u - 1.3923740e-1) * u - 9.3136382e-1) * u
    - 1.6197347) * u - 2.0131669e-3;
  return sign(x) * select(1.0 - exp2(p), inner, u < Element(1.0));
}

// Sum over the team of each column, in a fixed order. Every thread adds up all parts: two barriers instead of one per level of
// a tree, and barriers are what takes long to run and to compile on software adapters.
fn column_sum(value: Element, lane: u32) -> Element {
  if (team == 1u) { return value; }
  workgroupBarrier();
  partial[lane] = value;
  workgroupBarrier();
  var sum = Element(0.0);
  for (var part = lane % across; part < lanes; part += across) { sum += partial[part]; }
  return sum;
}

@compute @workgroup_size(lanes)
fn batch_norm(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(0xffffffffu));
  let column = group.x * across + lane % across;
  let c = min(column, params.columns - 1u); // threads beyond the last column repeat it and write nothing
  let inside = column < params.columns;
  let member = lane / across;
  let rows = f32(params.rows);
  var sum = Element(0.0);
  for (var r = member; r < params.rows; r += team) { sum += x[r * params.columns + c]; }
  let near = column_sum(sum, lane) / rows; // rounded: large numbers next to each other would leave nothing but that
  var squares = Element(0.0);
  var rest = Element(0.0);
  for (var r = member; r < params.rows; r += team) {
    let deviation = x[r * params.columns + c] - near;
    squares += deviation * deviation;
    rest += deviation;
  }
  let correction = column_sum(rest, lane) / rows;
  let mean = near + correction;
  let left = column_sum(squares, lane) - correction * correction * rows;
  let total = select(left, Element(0.0), left < Element(0.0)); // NaN passes
  let rstd = 1.0 / sqrt(total / rows + params.epsilon);
  if (inside) {
    let scale = weight[c];
    let shift = bias[c];
    for (var r = member; r < params.rows; r += team) {
      let i = r * params.columns + c;
      var z = (x[i] - mean) * rstd * scale + shift;
      if (params.activates != 0u) { z = 0.5 * z * (1.0 + erf(z * 0.70710678)); }
      y[i] = z;
    }
    if (member == 0u) {
      saved[c] = mean;
      saved[params.columns + c] = rstd;
      runningMean[c] += params.momentum * (mean - runningMean[c]);
      runningVariance[c] += params.momentum * (total / (rows - 1.0) - runningVariance[c]);
    }
  }
  if (group.x == 0u && lane == 0u) { batches[0] += 1u; }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
