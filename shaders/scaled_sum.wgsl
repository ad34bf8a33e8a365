// y = residual + factors[first + sample] branch, or without the residual the second term alone (its gradient): a sample is
// `span` Elements in a row. The grid strides over the elements.
alias Element = vec4f; // f32 where the rows of a sample are not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
override adds: bool = true;
struct Params { count: u32, span: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> residual: array<Stored>;
@group(0) @binding(2) var<storage, read> branch: array<Stored>;
@group(0) @binding(3) var<storage, read> factors: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn scaled_sum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let factor = factors[params.first + i / params.span];
    var value = factor * Element(branch[i]);
    if (adds) { value += Element(residual[i]); }
    y[i] = Stored(value);
  }
}
