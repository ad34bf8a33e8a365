// Stochastic gradient descent with momentum over a flat arena, in place:  u <- momentum u + (g + decay p);  p <- p - lr u.
// Learning-rate scale and decay come per block of 64 parameters from a table of groups. The momentum is the step's beta1.
struct Params { count: u32, groupCount: u32 } // vec4s; rows of the table
// What changes from step to step; see stepScalars.
struct Step {
  learningRate: f32,
  beta1: f32,
  oneMinusBeta1: f32,
  gradientScale: f32,
  beta2: f32,
  oneMinusBeta2: f32,
  epsilon: f32,
  apply: f32, // 0: leave everything as it is
  firstCorrection: f32,
  secondCorrection: f32,
  averageFactor: f32,
  oneMinusAverageFactor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> velocity: array<vec4f>;
@group(0) @binding(4) var<storage, read> blockGroups: array<u32>;
@group(0) @binding(5) var<storage, read> groups: array<vec2f>; // learning-rate scale, weight decay
@group(0) @binding(6) var<storage, read> scalars: Step;

@compute @workgroup_size(64)
fn sgd(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(num_workgroups) grid: vec3u,
) {
  let step = scalars;
  if (step.apply == 0.0) { return; }
  // A workgroup has a part of the arenas to itself, read and written from end to end: so many streams at once are too many for a
  // CPU's prefetcher where each jumps.
  let part = (params.count + grid.x * 64u - 1u) / (grid.x * 64u) * 64u;
  let end = min((workgroup.x + 1u) * part, params.count);
  for (var i = workgroup.x * part + lane; i < end; i += 64u) {
    let group = groups[min(blockGroups[i / 16u], params.groupCount - 1u)];
    let p = parameters[i];
    let u = step.beta1 * velocity[i] + (step.gradientScale * gradients[i] + group.y * p);
    velocity[i] = u;
    parameters[i] = p - step.learningRate * group.x * u;
  }
}
