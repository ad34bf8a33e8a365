// y = f(x), element by element; the grid strides over the elements.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override operation: u32 = 0u; // index into `unaryOperations` of engine/ops/unary.ts
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// As the C library has it, also where WGSL leaves it open: not above 0.
fn logarithm(v: Element) -> Element {
  let unknown = Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN
  let infinite = Element(bitcast<f32>(min(params.count, 0u) | 0x7f800000u));
  let y = select(log(v), v, !(v < infinite));
  return select(select(y, -infinite, v == Element(0.0)), unknown, v < Element(0.0));
}

// e^-|v| is at most 1, so that nothing overflows.
fn sigmoid(v: Element) -> Element {
  let small = exp(-abs(v));
  return select(select(small, Element(1.0), v >= Element(0.0)) / (1.0 + small), v, !(v == v));
}

// sin(v + quarters π / 2) by three parts of π / 2 (Cody and Waite; the first two have 8 and 11 bits, so that their products with whole numbers
// below 2^13 are exact) and least-error polynomials on an eighth of a turn (Cephes): WGSL's own are only good to 2^-11, and up to π.
fn sine(v: Element, quarters: f32) -> Element {
  let turns = round(v * 0.63661977);
  // Beyond a million, what is left may exceed an eighth of a turn, where the polynomials end: bounded, so that results are.
  let t = clamp(((v - turns * 1.5703125) - turns * 4.8375129e-4) - turns * 7.5497900e-8, Element(-0.8), Element(0.8));
  let z = t * t;
  let s = ((-1.9515296e-4 * z + 8.3321609e-3) * z - 1.6666655e-1) * z * t + t;
  let c = ((2.4433157e-5 * z - 1.3887316e-3) * z + 4.1666646e-2) * z * z - 0.5 * z + 1.0;
  let sum = turns + quarters;
  let quadrant = sum - 4.0 * floor(sum * 0.25);
  let y = select(s, c, (quadrant == Element(1.0)) | (quadrant == Element(3.0)));
  let unknown = Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN
  return select(unknown, select(y, -y, quadrant >= Element(2.0)), abs(v) <= Element(3.4028234e38));
}

// Within 8e-8, as derived in gelu.wgsl.
fn erf(x: Element) -> Element {
  let u = min(abs(x), Element(4.0)); // erf(4) is 1 in f32
  let z = u * u;
  let inner = ((((((7.6471100e-5 * z - 7.9423538e-4) * z + 5.1797493e-3) * z - 2.6848592e-2) * z + 1.1283430e-1) * z
    - 3.7612605e-1) * z + 1.2837915e-1) * u + u;
  let p = (((((1.4518470e-4 * u - 3.0638007e-3) * u + 2.6850788e-2) * u - 1.3923740e-1) * u - 9.3136382e-1) * u
    - 1.6197347) * u - 2.0131669e-3;
  return sign(x) * select(1.0 - exp2(p), inner, u < Element(1.0));
}

// Next to 0, where log and exp have an absolute error: ln((1 + s) / (1 - s)) = 2 (s + s^3 / 3 + …) with |s| < 0.17, and the series of e^v - 1.
fn log_of_one_and(v: Element) -> Element {
  let s = v / (2.0 + v);
  let z = s * s;
  let near = 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z / 9.0))));
  return select(logarithm(1.0 + v), near, abs(v) < Element(0.25));
}

fn exponential_less_one(v: Element) -> Element {
  let near = v * (1.0 + v * (0.5 + v * (1.0 / 6.0 + v * (1.0 / 24.0 + v * (1.0 / 120.0 + v * (1.0 / 720.0 + v * (1.0 / 5040.0 + v / 40320.0)))))));
  return select(select(exp(v) - 1.0, v, !(v == v)), near, abs(v) < Element(0.5));
}

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn apply_unary(v: Element) -> Element {
  if (operation == 0u) { return select(exp(v), v, !(v == v)); } // some drivers give infinity of NaN
  if (operation == 1u) { return logarithm(v); }
  if (operation == 2u) { return sqrt(v); }
  if (operation == 3u) { return inverseSqrt(v); }
  if (operation == 4u) { return select(tanh(clamp(v, Element(-10.0), Element(10.0))), v, !(v == v)); } // 1 in f32 from 9.02 on; some drivers overflow beyond 44
  if (operation == 5u) { return -v; }
  if (operation == 6u) { return abs(v); }
  if (operation == 7u) { return v * v; }
  if (operation == 8u) { return 1.0 / v; }
  if (operation == 9u) { return sign(v); }
  if (operation == 10u) { return select(v, Element(0.0), v <= Element(0.0)); } // also of -0
  if (operation == 11u) { return sigmoid(v); }
  if (operation == 12u) { return v * sigmoid(v); }
  if (operation == 13u) { return select(max(v, Element(0.0)) + log_of_one_and(exp(-abs(v))), v, !(v == v)); }
  if (operation == 14u) { return sine(v, 0.0); }
  if (operation == 15u) { return sine(v, 1.0); }
  if (operation == 16u) { return select(floor(v), v, !(v == v)); }
  if (operation == 17u) { return select(ceil(v), v, !(v == v)); }
  if (operation == 18u) { return select(round(v), v, !(v == v)); } // halves to even
  if (operation == 19u) { return select(erf(v), v, !(v == v)); }
  if (operation == 20u) { return log_of_one_and(v); }
  if (operation == 21u) { return exponential_less_one(v); }
  return Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN; of constants alone it would not compile
}

@compute @workgroup_size(64)
fn unary(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) { y[i] = Stored(apply_unary(Element(x[i]))); }
}
