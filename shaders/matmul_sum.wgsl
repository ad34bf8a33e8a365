// y = epilogue(sum over parts): second pass of a product whose depth was split. The parts are added in their order, so the
// result is the same in every run. One invocation per element.
override hasBias: bool = false; // + bias[column]
override activation: u32 = 0u; // 1: GELU; 2: times the slope of GELU at other[row, column]
override addOther: bool = false; // + other[row, column]
override keepPreactivation: bool = false; // extra[row, column] = value before the activation
alias Element = f32; // of the functions that other kernels carry with the same text
alias Part = f32;
alias Bias = f32;
alias Result = f32;
alias Extra = f32;
struct Params { rows: u32, columns: u32, splits: u32, batches: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<Part>;
@group(0) @binding(2) var<storage, read> bias: array<Bias>;
@group(0) @binding(3) var<storage, read> other: array<Result>;
@group(0) @binding(4) var<storage, read_write> y: array<Result>;
@group(0) @binding(5) var<storage, read_write> extra: array<Extra>;

@compute @workgroup_size(64)
fn matmul_sum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let size = params.rows * params.columns;
  for (var i = id.x; i < size * params.batches; i += groups.x * 64u) {
    let first = (i / size) * params.splits * size + i % size;
    var sum = 0.0;
    for (var s = 0u; s < params.splits; s++) { sum += f32(parts[first + s * size]); }
    let column = i % params.columns;
    finish(sum, i - column, column);
  }
}

fn finish(sum: f32, atRow: u32, column: u32) {
  var value = sum;
  if (hasBias) { value += f32(bias[column]); }
  if (keepPreactivation) { extra[atRow + column] = Extra(value); }
  if (activation == 1u) { value *= normal_cdf(value); }
  if (activation == 2u) { value *= gelu_slope(f32(other[atRow + column])); }
  if (addOther) { value += f32(other[atRow + column]); }
  y[atRow + column] = Result(value);
}

// d gelu / dx = cdf(x) + x phi(x), cdf and phi of the standard normal distribution; gelu(x) = x cdf(x).
fn gelu_slope(x: Element) -> Element {
  let u = min(abs(x), Element(14.0)); // phi(14) is 0 in f32; keeps the square finite
  return normal_cdf(x) + x * (0.39894228 * exp2(-0.72134752 * u * u));
}

fn normal_cdf(x: Element) -> Element {
  return 0.5 + 0.5 * erf(x * 0.70710678);
}

// Within 8e-8 of erf, as derived in gelu.wgsl.
fn erf(x: Element) -> Element {
  let u = min(abs(x), Element(4.0)); // erf(4) is 1 in f32
  let z = u * u;
  let inner = ((((((7.6471100e-5 * z - 7.9423538e-4) * z + 5.1797493e-3) * z - 2.6848592e-2) * z + 1.1283430e-1) * z
    - 3.7612605e-1) * z + 1.2837915e-1) * u + u;
  let p = (((((1.4518470e-4 * u - 3.0638007e-3) * u + 2.6850788e-2) * u - 1.3923740e-1) * u - 9.3136382e-1) * u
    - 1.6197347) * u - 2.0131669e-3;
  return sign(x) * select(1.0 - exp2(p), inner, u < Element(1.0));
}
