// a <- factor a + oneMinusFactor x, in place; both factors are given since 1 - factor would lose digits in f32.
alias Element = f32; // f32 or vec4f
struct Params { count: u32, factor: f32, oneMinusFactor: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> average: array<Element>;

@compute @workgroup_size(64)
fn moving_average(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  for (var i = id.x; i < params.count; i += grid.x * 64u) {
    average[i] = params.factor * average[i] + params.oneMinusFactor * x[i];
  }
}
