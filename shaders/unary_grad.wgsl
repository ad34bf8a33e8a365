// dx = dy f'(x) with f' written in the kept tensor: x itself, or y = f(x) where that is cheaper. The grid strides over the elements.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override operation: u32 = 0u; // index into `unaryOperations` of engine/ops/unary.ts
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> kept: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

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

// Conditions, since a `switch` needs a default branch, which would compute some operation for a number without a branch.
fn slope(v: Element) -> Element {
  if (operation == 0u) { return v; }                // exp, of y
  if (operation == 1u) { return 1.0 / v; }          // log, of x
  if (operation == 2u) { return 0.5 / v; }          // sqrt, of y
  if (operation == 3u) { return -0.5 * v * v * v; } // rsqrt, of y
  if (operation == 4u) { return 1.0 - v * v; }      // tanh, of y
  if (operation == 5u) { return Element(-1.0); }    // neg
  if (operation == 6u) { return sign(v); }          // abs, of x
  if (operation == 7u) { return 2.0 * v; }          // square, of x
  if (operation == 8u) { return -v * v; }           // reciprocal, of y
  if (operation == 9u) { return Element(0.0); }     // sign
  if (operation == 10u) { return select(Element(1.0), Element(0.0), v <= Element(0.0)); } // relu, of y; 1 for NaN
  if (operation == 11u) { return v * (1.0 - v); }   // sigmoid, of y
  if (operation == 12u) { return sigmoid(v) * (1.0 + v * sigmoid(-v)); } // silu, of x
  if (operation == 13u) { return sigmoid(v); }      // softplus, of x
  if (operation == 14u) { return sine(v, 1.0); }    // sin, of x
  if (operation == 15u) { return -sine(v, 0.0); }   // cos, of x
  if (operation == 16u) { return Element(0.0); }    // floor
  if (operation == 17u) { return Element(0.0); }    // ceil
  if (operation == 18u) { return Element(0.0); }    // round
  if (operation == 19u) { return select(1.1283792 * exp2(-1.4426950 * v * v), v, !(v == v)); } // erf, of x
  if (operation == 20u) { return 1.0 / (1.0 + v); } // log1p, of x
  if (operation == 21u) { return 1.0 + v; }         // expm1, of y
  return Element(bitcast<f32>(params.count | 0x7fc00000u)); // NaN; of constants alone it would not compile
}

@compute @workgroup_size(64)
fn unary_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    dx[i] = Stored(Element(dy[i]) * slope(Element(kept[i])));
  }
}
