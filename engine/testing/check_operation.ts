import fc from "fast-check";
import type { DType } from "../core/dtype.ts";
import type { Device } from "../core/recording.ts";
import { sizeOf } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { recordProgram } from "../run/recorded_program.ts";
import { randomSource } from "./arbitraries.ts";
import { expectClose } from "./compare.ts";

/** Host value of one operand. */
export interface HostOperand {
  readonly data: ArrayLike<number>;
  readonly shape: readonly number[];
  /** Default f32. */
  readonly dtype?: DType;
}

export type HostOperands = Readonly<Record<string, HostOperand>>;
export type DoubleOperands = Readonly<Record<string, Float64Array>>;

export interface OperationCheck<Case> {
  /** Draws cases: shapes, options, value kinds. */
  readonly cases: fc.Arbitrary<Case>;
  /** Operands of a case. */
  readonly operands: (drawn: Case) => HostOperands;
  /** Records the operation; returns one or several results by name. */
  readonly run: (operands: Readonly<Record<string, Tensor>>, drawn: Case) => Readonly<Record<string, Tensor>>;
  /** The same in float64, written for clarity. */
  readonly reference: (operands: DoubleOperands, drawn: Case) => Readonly<Record<string, ArrayLike<number>>>;
  /** Bound on max|a − b| / max|b| of a result; derive it from the number of roundings (`toleranceOf`). */
  readonly bound: (drawn: Case, result: string) => number;
  /** Smallest |b| that the error is measured against. Default 1e-6. */
  readonly floor?: number | ((drawn: Case) => number);
  /** How many cases to draw. Default 20. */
  readonly runs?: number;
}

/** Checks an operation against its float64 reference over drawn cases. @throws Error with the smallest failing case */
export async function checkOperation<Case>(device: Device, check: OperationCheck<Case>): Promise<void> {
  await fc.assert(
    fc.asyncProperty(check.cases, async (drawn) => {
      const hosts = check.operands(drawn);
      const results = check.run(upload(device, hosts), drawn);
      const expected = check.reference(inDouble(hosts), drawn);
      for (const [name, values] of Object.entries(expected)) {
        const tensor = results[name];
        if (!tensor) throw new Error(`the operation returned no result ${name}`);
        expectClose(name, await tensor.read(), values, check.bound(drawn, name), floorOf(check.floor, drawn));
      }
    }),
    { numRuns: check.runs ?? 20 },
  );
}

function floorOf<Case>(floor: OperationCheck<Case>["floor"], drawn: Case): number | undefined {
  return typeof floor === "function" ? floor(drawn) : floor;
}

export interface GradientCheck<Case> extends Omit<OperationCheck<Case>, "run" | "reference" | "bound"> {
  readonly run: (operands: Readonly<Record<string, Tensor>>, drawn: Case) => Tensor;
  readonly reference: (operands: DoubleOperands, drawn: Case) => ArrayLike<number>;
  /** Operands to differentiate with respect to. */
  readonly wrt: readonly string[];
  /** Bound on the error of a directional derivative, relative to Σ|gradient · direction| or the floor (default 1e-6). Default 1e-4. */
  readonly bound?: number;
  /** Step of the central difference relative to the operand's largest value. Default 1e-5. */
  readonly step?: number;
}

/**
 * Checks gradient rules against central differences of the float64 reference along random directions: for random weights R
 * the derivative of sum(R * reference(x + t d)) at t = 0 must equal sum(gradient * d).
 */
export async function checkGradient<Case>(device: Device, check: GradientCheck<Case>): Promise<void> {
  await fc.assert(
    fc.asyncProperty(check.cases, fc.integer({ min: 1, max: 2 ** 31 }), async (drawn, seed) => {
      const hosts = check.operands(drawn);
      const random = randomSource(seed);
      const doubles = inDouble(hosts);
      const base = check.reference(doubles, drawn);
      const weights = Float32Array.from({ length: base.length }, () => 2 * random() - 1);
      const gradients = await analyticGradients(device, check, hosts, drawn, weights);
      for (const [i, name] of check.wrt.entries()) {
        const x = doubles[name];
        const gradient = gradients[i];
        if (!x || !gradient) throw new Error(`no operand ${name}`);
        const direction = Float64Array.from(x, () => 2 * random() - 1);
        const step = (check.step ?? 1e-5) * Math.max(1e-3, ...Array.from(x, Math.abs));
        const along = (t: number): number => {
          const moved = Float64Array.from(x, (value, k) => value + t * (direction[k] ?? 0));
          return dot(weights, check.reference({ ...doubles, [name]: moved }, drawn));
        };
        const numeric = (along(step) - along(-step)) / (2 * step);
        const bounds = { error: check.bound ?? 1e-4, floor: floorOf(check.floor, drawn) ?? 1e-6 };
        expectSlope(`d${name}`, gradient, direction, numeric, bounds);
      }
    }),
    { numRuns: check.runs ?? 10 },
  );
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((sum, value, k) => sum + value * (b[k] ?? 0), 0);
}

/** @throws Error unless the gradient along a direction is the derivative that was measured there */
function expectSlope(
  what: string,
  gradient: ArrayLike<number>,
  direction: Float64Array,
  numeric: number,
  bounds: { readonly error: number; readonly floor: number },
): void {
  const terms = Array.from(direction, (along, k) => (gradient[k] ?? Number.NaN) * along);
  const analytic = terms.reduce((sum, term) => sum + term, 0);
  const scale = terms.reduce((sum, term) => sum + Math.abs(term), 0);
  const error = Math.abs(analytic - numeric) / Math.max(scale, bounds.floor);
  if (error <= bounds.error) return;
  throw new Error(
    `${what}: derivative ${analytic} along a random direction, expected ${numeric}; error ${error.toExponential(3)} exceeds ${bounds.error}`,
  );
}

async function analyticGradients<Case>(
  device: Device,
  check: GradientCheck<Case>,
  hosts: HostOperands,
  drawn: Case,
  weights: Float32Array,
): Promise<ArrayLike<number>[]> {
  const operands = upload(device, hosts);
  const recorded = recordProgram(device, (program) => {
    const seedTensor = program.input("weights", [weights.length]);
    const y = check.run(operands, drawn);
    const targets = check.wrt.map((name) => {
      const operand = operands[name];
      if (!operand) throw new Error(`no operand ${name}`);
      return operand;
    });
    const list = program.gradients(y, targets, seedTensor);
    return Object.fromEntries(list.map((gradient, i) => [`gradient${i}`, gradient]));
  });
  const names = check.wrt.map((_, i) => `gradient${i}`);
  const values = await (await recorded.run({ weights }, names)).read();
  recorded.destroy();
  return names.map((name) => values[name] ?? []);
}

/** State tensors of host operands. */
export function upload(device: Device, hosts: HostOperands): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(hosts).map(([name, { data, shape, dtype }]) => {
      if (data.length !== sizeOf(shape))
        throw new Error(`${name}: ${data.length} values for a shape of ${sizeOf(shape)}`);
      return [name, device.tensor(data, shape, dtype ?? "f32", name)];
    }),
  );
}

function inDouble(hosts: HostOperands): Record<string, Float64Array> {
  return Object.fromEntries(Object.entries(hosts).map(([name, { data }]) => [name, Float64Array.from(data)]));
}
