// Scalars of one optimiser step with clipping, loss scaling and skipping filled in; a single invocation.
// Clipping: gradients are scaled by min(1, maxNorm / (norm + 1e-6)) (the form of PyTorch's clip_grad_norm_).
// Adam's bias corrections, 1 / (1 - beta^t), count the steps that were applied: c <- (1 - beta) + beta c is 1 - beta^t.
// Loss scale: halved after a step with non-finite gradients, doubled after `growthInterval` good ones in a row.
override scalesLoss: bool = false;
struct Params { maxNorm: f32, growthInterval: u32 } // maxNorm 0: no clipping
// See stepScalars.
struct Step {
  learningRate: f32,
  beta1: f32,
  oneMinusBeta1: f32,
  gradientScale: f32,
  beta2: f32,
  oneMinusBeta2: f32,
  epsilon: f32,
  apply: f32,
  firstCorrection: f32,
  secondCorrection: f32,
  averageFactor: f32,
  oneMinusAverageFactor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scalars: Step;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> nonFinite: array<u32>;
@group(0) @binding(4) var<storage, read_write> lossScale: array<f32>; // scale, good steps in a row, skipped steps, 1 - beta1^t, 1 - beta2^t
@group(0) @binding(5) var<storage, read_write> control: Step;

const largestLossScale = 16777216.0; // 2^24: far above what f16 gradients need, far below overflow

@compute @workgroup_size(1)
fn step_control() {
  var step = scalars;
  let isGood = nonFinite[0] == 0u;
  var scale = 1.0;
  if (scalesLoss) { scale = lossScale[0]; }
  step.gradientScale /= scale;
  if (params.maxNorm > 0.0) {
    step.gradientScale *= min(1.0, params.maxNorm / (norm[0] * abs(step.gradientScale) + 1e-6));
  }
  step.apply = select(0.0, step.apply, isGood);
  if (scalesLoss) {
    let first = step.oneMinusBeta1 + step.beta1 * lossScale[3];
    let second = step.oneMinusBeta2 + step.beta2 * lossScale[4];
    step.firstCorrection = 1.0 / first;
    step.secondCorrection = 1.0 / sqrt(second);
    if (isGood) {
      lossScale[3] = first;
      lossScale[4] = second;
    } else {
      lossScale[2] += 1.0;
    }
    let goodSteps = select(0.0, lossScale[1] + 1.0, isGood);
    let grows = goodSteps >= f32(params.growthInterval);
    lossScale[0] = select(max(1.0, 0.5 * scale), select(scale, min(largestLossScale, 2.0 * scale), grows), isGood);
    lossScale[1] = select(goodSteps, 0.0, grows);
  }
  control = step;
}
