// Sixteen independent chains of multiply-adds per invocation: the FLOP peak that compute-bound kernels are measured against.
struct Params { steps: u32, factor: f32, invocations: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8)
fn multiply_add_probe(@builtin(global_invocation_id) id: vec3u) {
  var a = vec4f(f32(id.x)) + vec4f(0.0, 1.0, 2.0, 3.0);
  var b = a + 4.0;
  var c = a + 8.0;
  var d = a + 12.0;
  let factor = vec4f(params.factor);
  for (var step = 0u; step < params.steps; step++) {
    for (var turn = 0u; turn < 8u; turn++) { // unrolled: a software adapter masks what a loop carries
      a = fma(a, factor, vec4f(0.5));
      b = fma(b, factor, vec4f(0.5));
      c = fma(c, factor, vec4f(0.5));
      d = fma(d, factor, vec4f(0.5));
    }
  }
  let sum = a + b + c + d;
  if (id.x < params.invocations) { y[id.x] = sum.x + sum.y + sum.z + sum.w; }
}
