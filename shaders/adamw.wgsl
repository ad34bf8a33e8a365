// Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2) over a flat arena, in place, four parameters per invocation:
//   p <- p (1 - lr decay);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr mHat / (sqrt(vHat) + epsilon)
// and, where asked for, the moving average  a <- f a + (1 - f) p  of the new parameters.
// Learning-rate scale and decay come per block of 64 parameters from a table of groups.
override averages: bool = false;
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
  firstCorrection: f32, // 1 / (1 - beta1^t)
  secondCorrection: f32, // 1 / sqrt(1 - beta2^t)
  averageFactor: f32,
  oneMinusAverageFactor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> firstMoment: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> secondMoment: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> average: array<vec4f>;
@group(0) @binding(6) var<storage, read> blockGroups: array<u32>;
@group(0) @binding(7) var<storage, read> groups: array<vec2f>; // learning-rate scale, weight decay
@group(0) @binding(8) var<storage, read> scalars: Step;

@compute @workgroup_size(64)
fn adamw(
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
    let learningRate = step.learningRate * group.x;
    let g = step.gradientScale * gradients[i];
    let m = step.beta1 * firstMoment[i] + step.oneMinusBeta1 * g;
    let v = step.beta2 * secondMoment[i] + step.oneMinusBeta2 * g * g;
    let rate = learningRate * step.firstCorrection;
    let p = parameters[i] * (1.0 - learningRate * group.y) - rate * m / (sqrt(v) * step.secondCorrection + step.epsilon);
    firstMoment[i] = m;
    secondMoment[i] = v;
    parameters[i] = p;
    if (averages) { average[i] = step.averageFactor * average[i] + step.oneMinusAverageFactor * p; }
  }
}
