// Sixteen independent chains of multiply-adds per invocation: the arithmetic peak that compute-bound kernels are measured against.
struct Params { steps: u32, factor: f32, invocations: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

override lanes: u32 = 64u; // threads of a workgroup

@compute @workgroup_size(lanes)
fn probe_flops(@builtin(global_invocation_id) id: vec3u) {
  var a = vec4f(f32(id.x)) + vec4f(0.0, 1.0, 2.0, 3.0);
  var b = a + 4.0;
  var c = a + 8.0;
  var d = a + 12.0;
  let factor = vec4f(params.factor); // below 1, so that no chain overflows
  let term = vec4f(0.5);
  for (var step = 0u; step < params.steps; step++) { // eight turns written out: a software adapter pays for each jump
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
    a = fma(a, factor, term); b = fma(b, factor, term); c = fma(c, factor, term); d = fma(d, factor, term);
  }
  let sum = a + b + c + d;
  if (id.x < params.invocations) { y[id.x] = sum.x + sum.y + sum.z + sum.w; }
}
