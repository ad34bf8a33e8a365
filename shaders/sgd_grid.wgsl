// Stochastic gradient descent with momentum for a stack of models of one shape, each with a learning rate of its own, in place:
//   u <- momentum u + g;  p <- p - rate u.
// One invocation per element; the grid strides over them.
alias Element = vec4f; // f32 where the size of a model is not a multiple of 4
struct Params { count: u32, perModel: u32, models: u32, momentum: f32 } // count and perModel in Elements
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameters: array<Element>;
@group(0) @binding(2) var<storage, read> gradients: array<Element>;
@group(0) @binding(3) var<storage, read_write> velocity: array<Element>;
@group(0) @binding(4) var<storage, read> rates: array<f32>; // per model

@compute @workgroup_size(64)
fn sgd_grid(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let rate = rates[min(i / params.perModel, params.models - 1u)];
    let u = params.momentum * velocity[i] + gradients[i];
    velocity[i] = u;
    parameters[i] = parameters[i] - rate * u;
  }
}
