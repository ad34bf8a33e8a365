// y = min(max(x, low), high); the grid strides over the elements.
alias Element = vec4f; // f32 where the number of elements is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
struct Params { count: u32, low: f32, high: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn clamp_values(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let v = Element(x[i]);
    let raised = select(v, Element(params.low), v <= Element(params.low)); // NaN passes; a bound of 0 stands for -0, too
    y[i] = Stored(select(raised, Element(params.high), raised >= Element(params.high)));
  }
}
