/** Hyper-parameters of a step in float64; `group` gives each parameter's learning-rate scale and weight decay. */
export interface StepCase {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly averageFactor: number;
  readonly gradientScale: number;
  readonly group: (index: number) => readonly [scale: number, decay: number];
}

export interface AdamWState {
  readonly p: Float64Array;
  readonly m: Float64Array;
  readonly v: Float64Array;
  readonly average: Float64Array;
}

/** Loshchilov & Hutter 2019, algorithm 2, in the order of PyTorch: decay first. Updates the state. */
export function adamWReference(state: AdamWState, gradient: ArrayLike<number>, t: number, options: StepCase): void {
  const { learningRate, beta1, beta2, epsilon, averageFactor, gradientScale, group } = options;
  for (let i = 0; i < state.p.length; i++) {
    const [scale, decay] = group(i);
    const lr = learningRate * scale;
    const g = gradientScale * (gradient[i] ?? Number.NaN);
    const m = beta1 * (state.m[i] ?? 0) + (1 - beta1) * g;
    const v = beta2 * (state.v[i] ?? 0) + (1 - beta2) * g * g;
    const decayed = (state.p[i] ?? 0) * (1 - lr * decay);
    const p = decayed - (lr * (m / (1 - beta1 ** t))) / (Math.sqrt(v / (1 - beta2 ** t)) + epsilon);
    state.m[i] = m;
    state.v[i] = v;
    state.p[i] = p;
    state.average[i] = averageFactor * (state.average[i] ?? 0) + (1 - averageFactor) * p;
  }
}

export function sgdReference(
  state: { readonly p: Float64Array; readonly u: Float64Array },
  gradient: ArrayLike<number>,
  options: Pick<StepCase, "learningRate" | "beta1" | "gradientScale" | "group">,
): void {
  for (let i = 0; i < state.p.length; i++) {
    const [scale, decay] = options.group(i);
    const p = state.p[i] ?? 0;
    const u = options.beta1 * (state.u[i] ?? 0) + options.gradientScale * (gradient[i] ?? Number.NaN) + decay * p;
    state.u[i] = u;
    state.p[i] = p - options.learningRate * scale * u;
  }
}
