/** A smooth function: fills `gradient` and returns its value at `x`. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

export interface MinimiseOptions {
  readonly maxIterations?: number;
  /** Converged when no partial derivative is larger. */
  readonly gradientTolerance?: number;
  /** Pairs of steps that the inverse Hessian is estimated from. */
  readonly memory?: number;
}

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
  readonly converged: boolean;
}

const sufficientDecrease = 1e-4; // Nocedal and Wright, Numerical optimization, section 3.1
const curvature = 0.9;
const roundingShare = 1e-15; // a value this close to the last, relatively, is equal up to rounding

interface Point {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array;
}

/**
 * Minimises by L-BFGS (Nocedal and Wright, algorithm 7.4) with a line search for the weak Wolfe conditions by bisection
 * and expansion (Lewis and Overton, 2013). Near the minimum, where values differ by rounding only, the slope decides
 * (approximate Wolfe condition of Hager and Zhang, 2005), so that the gradient can be brought down to rounding.
 */
export function minimise(objective: Objective, start: Float64Array, options: MinimiseOptions = {}): Minimum {
  const { maxIterations = 1000, gradientTolerance = 1e-10, memory = 10 } = options;
  const evaluate = (x: Float64Array): Point => {
    const gradient = new Float64Array(x.length);
    return { x, value: objective(x, gradient), gradient };
  };
  const pairs: { step: Float64Array; change: Float64Array; curvature: number }[] = [];
  let point = evaluate(start.slice());
  for (let iterations = 0; ; iterations++) {
    const converged = point.gradient.every((value) => Math.abs(value) <= gradientTolerance);
    if (converged || iterations === maxIterations) return { x: point.x, value: point.value, iterations, converged };
    const direction = descentDirection(point.gradient, pairs);
    const next = lineSearch(evaluate, point, direction);
    if (next === undefined) return { x: point.x, value: point.value, iterations, converged: false };
    const step = next.x.map((value, at) => value - (point.x[at] ?? 0));
    const change = next.gradient.map((value, at) => value - (point.gradient[at] ?? 0));
    const product = dot(step, change);
    if (product > 0) pairs.push({ step, change, curvature: product });
    if (pairs.length > memory) pairs.shift();
    point = next;
  }
}

// The two-loop recursion: minus the estimated inverse Hessian times the gradient.
function descentDirection(
  gradient: Float64Array,
  pairs: readonly { step: Float64Array; change: Float64Array; curvature: number }[],
): Float64Array {
  const direction = gradient.map((value) => -value);
  const weights = new Float64Array(pairs.length);
  for (let at = pairs.length - 1; at >= 0; at--) {
    const pair = pairs[at];
    if (pair === undefined) continue;
    weights[at] = dot(pair.step, direction) / pair.curvature;
    addScaled(direction, -(weights[at] ?? 0), pair.change);
  }
  const latest = pairs[pairs.length - 1];
  const scale = latest
    ? latest.curvature / dot(latest.change, latest.change)
    : 1 / Math.max(1, Math.sqrt(dot(gradient, gradient)));
  for (let at = 0; at < direction.length; at++) direction[at] = (direction[at] ?? 0) * scale;
  pairs.forEach((pair, at) => {
    addScaled(direction, (weights[at] ?? 0) - dot(pair.change, direction) / pair.curvature, pair.step);
  });
  return direction;
}

// Undefined if no step improves: the gradient is then at the limit of rounding.
function lineSearch(evaluate: (x: Float64Array) => Point, from: Point, direction: Float64Array): Point | undefined {
  const slope = dot(from.gradient, direction);
  const rounding = roundingShare * Math.abs(from.value);
  let short = 0;
  let long = Number.POSITIVE_INFINITY;
  let length = 1;
  for (let trial = 0; trial < 60; trial++) {
    const point = evaluate(from.x.map((value, at) => value + length * (direction[at] ?? 0)));
    const newSlope = dot(point.gradient, direction);
    const decreased =
      point.value <= from.value + sufficientDecrease * length * slope ||
      (point.value <= from.value + rounding && newSlope <= (2 * sufficientDecrease - 1) * slope);
    if (!decreased) long = length;
    else if (newSlope < curvature * slope) short = length;
    else return point;
    length = Number.isFinite(long) ? (short + long) / 2 : 2 * length;
  }
  return undefined;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
}

function addScaled(sum: Float64Array, scale: number, added: Float64Array): void {
  for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] ?? 0) + scale * (added[at] ?? 0);
}
