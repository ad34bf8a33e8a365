/** A smooth function: fills `gradient` and returns its value at `x`. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number | Promise<number>;

export interface MinimiseOptions {
  readonly maxIterations?: number;
  /** Converged when the excess is not larger. */
  readonly tolerance?: number;
  /** What a point is above the minimum by another measure than its largest partial derivative. */
  readonly excess?: (value: number, gradient: Float64Array) => number;
  /** Ends the search after so many iterations in which the excess did not become smaller; default: never. */
  readonly patience?: number;
  /** What a value may be wrong by; default 1e-15 of it, the rounding of float64. */
  readonly rounding?: (value: number) => number;
  /** Pairs of steps that the inverse Hessian is estimated from. */
  readonly memory?: number;
}

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array;
  /** Until the best point was found. */
  readonly iterations: number;
  readonly converged: boolean;
}

const sufficientDecrease = 1e-4; // Nocedal and Wright, Numerical optimization, section 3.1
const curvature = 0.9;
const mostTrials = 40; // of a line search: below 10⁻¹² of a step nothing is gained
const doubleRounding = (value: number): number => 1e-15 * Math.abs(value);

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
export async function minimise(
  objective: Objective,
  start: Float64Array,
  options: MinimiseOptions = {},
): Promise<Minimum> {
  const { maxIterations = 1000, tolerance = 1e-10, memory = 10, rounding = doubleRounding } = options;
  const { excess = (_, gradient) => largestEntry(gradient), patience = Number.POSITIVE_INFINITY } = options;
  const evaluate = async (x: Float64Array): Promise<Point> => {
    const gradient = new Float64Array(x.length);
    return { x, value: await objective(x, gradient), gradient };
  };
  const pairs: Pair[] = [];
  let point = await evaluate(start.slice());
  let best = { ...point, iterations: 0, excess: excess(point.value, point.gradient) };
  for (let iterations = 1; iterations <= maxIterations && best.excess > tolerance; iterations++) {
    const next = await lineSearch(evaluate, point, descentDirection(point.gradient, pairs), rounding);
    if (next === undefined) break;
    remember(pairs, point, next, memory);
    point = next;
    const left = excess(point.value, point.gradient);
    if (left < best.excess) best = { ...point, iterations, excess: left };
    if (iterations - best.iterations >= patience) break;
  }
  return { ...best, converged: best.excess <= tolerance };
}

/** A step, how the gradient changed along it, and their product. */
interface Pair {
  readonly step: Float64Array;
  readonly change: Float64Array;
  readonly curvature: number;
}

function remember(pairs: Pair[], from: Point, to: Point, memory: number): void {
  const step = to.x.map((value, at) => value - (from.x[at] ?? 0));
  const change = to.gradient.map((value, at) => value - (from.gradient[at] ?? 0));
  const product = dot(step, change);
  if (product > 0) pairs.push({ step, change, curvature: product });
  if (pairs.length > memory) pairs.shift();
}

// The two-loop recursion: minus the estimated inverse Hessian times the gradient.
function descentDirection(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
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
async function lineSearch(
  evaluate: (x: Float64Array) => Promise<Point>,
  from: Point,
  direction: Float64Array,
  roundingOf: (value: number) => number,
): Promise<Point | undefined> {
  const slope = dot(from.gradient, direction);
  const rounding = roundingOf(from.value);
  let short = 0;
  let long = Number.POSITIVE_INFINITY;
  let length = 1;
  for (let trial = 0; trial < mostTrials; trial++) {
    const point = await evaluate(from.x.map((value, at) => value + length * (direction[at] ?? 0)));
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

function largestEntry(vector: Float64Array): number {
  return vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0);
  return sum;
}

function addScaled(sum: Float64Array, scale: number, added: Float64Array): void {
  for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] ?? 0) + scale * (added[at] ?? 0);
}
