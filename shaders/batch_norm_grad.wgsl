// Batch norm backward per column. With h = (x - mean) rstd, z = h weight + bias and dz = dy, or dy gelu'(z) where GELU follows:
//   dBias = sum(dz),   dWeight = sum(dz h),   dx = weight rstd (dz - mean(dz) - h mean(dz h)).
// Running estimates do not depend on x, so that in evaluation dx = weight rstd dz. One workgroup per few columns.
alias Element = vec4f;             // f32 where the number of columns is not a multiple of 4
const lanes = 64u;
const team = 8u;                   // threads that share a column
const across = lanes / team;       // columns (Elements) per workgroup
struct Params { rows: u32, columns: u32, activates: u32, training: u32 } // columns in Elements; activates: GELU followed
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> saved: array<Element>; // [mean, rstd]
@group(0) @binding(3) var<storage, read> weight: array<Element>;
@group(0) @binding(4) var<storage, read> bias: array<Element>;
@group(0) @binding(5) var<storage, read> dy: array<Element>;
@group(0) @binding(6) var<storage, read_write> dx: array<Element>;
@group(0) @binding(7) var<storage, read_write> dWeight: array<Element>;
@group(0) @binding(8) var<storage, read_write> dBias: array<Element>;
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

fn normal_cdf(x: Element) -> Element {
  return 0.5 + 0.5 * erf(x * 0.70710678);
}

// d gelu / dx = (1 + erf(x / sqrt 2)) / 2 + x phi(x), phi the standard normal density.
fn gelu_slope(x: Element) -> Element {
  let u = min(abs(x), Element(14.0)); // phi(14) is 0 in f32; keeps the square finite
  return normal_cdf(x) + x * (0.39894228 * exp2(-0.72134752 * u * u));
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
fn batch_norm_grad(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(0xffffffffu));
  let column = group.x * across + lane % across;
  let c = min(column, params.columns - 1u); // threads beyond the last column repeat it and write nothing
  let inside = column < params.columns;
  let member = lane / across;
  let mean = saved[c];
  let rstd = saved[params.columns + c];
  let scale = weight[c];
  let shift = bias[c];
  var sum = Element(0.0);
  var product = Element(0.0);
  for (var r = member; r < params.rows; r += team) {
    let i = r * params.columns + c;
    let h = (x[i] - mean) * rstd;
    var dz = dy[i];
    if (params.activates != 0u) {
      dz *= gelu_slope(h * scale + shift);
      if (inside) { dx[i] = dz; } // read again below: cheaper than a second erf
    }
    sum += dz;
    product += dz * h;
  }
  let shiftGradient = column_sum(sum, lane);
  let scaleGradient = column_sum(product, lane);
  if (!inside) { return; }
  let fixed = select(0.0, 1.0 / f32(params.rows), params.training != 0u);
  for (var r = member; r < params.rows; r += team) {
    let i = r * params.columns + c;
    let h = (x[i] - mean) * rstd;
    var dz = dy[i];
    if (params.activates != 0u) { dz = dx[i]; }
    dx[i] = scale * rstd * (dz - fixed * (shiftGradient + h * scaleGradient));
  }
  if (member == 0u) {
    dWeight[c] = scaleGradient;
    dBias[c] = shiftGradient;
  }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
