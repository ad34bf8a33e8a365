import { d, tgpu } from "typegpu";
import { type Device, defineKernel, type Kernel, recordProgram, type Tensor } from "../../../engine/index.ts";

/** One function of the reproducible mode: as kernels write it, and exactly. */
export interface CanonicalFunction {
  readonly name: string;
  /** Of `a` and `b`, f32. */
  readonly text: string;
  readonly exact: (a: number, b: number) => number;
  /** Largest error in units in the last place that is promised. */
  readonly units: number;
  /** Whether both arguments count. */
  readonly isOfTwo?: boolean;
}

export const canonicalFunctions: readonly CanonicalFunction[] = [
  { name: "exp", text: "exp(a)", exact: Math.exp, units: 1 },
  { name: "exp2", text: "exp2(a)", exact: (a) => 2 ** a, units: 1 },
  { name: "log", text: "log(a)", exact: Math.log, units: 1 },
  { name: "tanh", text: "tanh(a)", exact: Math.tanh, units: 2 },
  { name: "sqrt", text: "sqrt(a)", exact: Math.sqrt, units: 0.5 },
  { name: "inverseSqrt", text: "inverseSqrt(a)", exact: (a) => 1 / Math.sqrt(a + 0), units: 1.5 },
  { name: "quotient", text: "a / b", exact: (a, b) => a / b, units: 0.5, isOfTwo: true },
  { name: "product", text: "a * b", exact: (a, b) => a * b, units: 0.5, isOfTwo: true },
  { name: "sum", text: "a + b", exact: (a, b) => a + b, units: 0.5, isOfTwo: true },
  {
    name: "pow",
    text: "pow(a, b)",
    exact: (a, b) => (a < 0 && b !== 0 ? Number.NaN : Math.abs(a) ** b),
    units: 8,
    isOfTwo: true,
  },
];

const Params = d.struct({ count: d.u32 }).$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  a: { storage: d.arrayOf(d.vec4f) },
  b: { storage: d.arrayOf(d.vec4f) },
  y: { storage: d.arrayOf(d.vec4f), access: "mutable" },
});

/** y = f(a, b), as vectors and, in the first element of every other one, as scalars. */
function kernelOf({ text }: CanonicalFunction): Kernel {
  const source = `struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
fn of_vectors(a: vec4f, b: vec4f) -> vec4f { return ${text}; }
fn of_scalars(a: f32, b: f32) -> f32 { return ${text}; }
@compute @workgroup_size(64)
fn sweep(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += 64u * groups.x) {
    var result = of_vectors(a[i], b[i]);
    if (i % 2u == 1u) { result.x = of_scalars(a[i].x, b[i].x); }
    y[i] = result;
  }
}`;
  return defineKernel({ name: "sweep", source, params: Params, layout });
}

/** f(a, b) of the device, for as many numbers as there are; a multiple of 4. */
export async function computed(
  device: Device,
  f: CanonicalFunction,
  a: Float32Array,
  b: Float32Array,
): Promise<Float32Array> {
  const kernel = kernelOf(f);
  const operands: Record<string, Tensor> = { a: device.tensor(a), b: device.tensor(b) };
  const program = recordProgram(device, (p) => {
    const y = p.empty([a.length]);
    p.dispatch(kernel, { count: a.length / 4 }, { ...operands, y }, [Math.min(256, Math.ceil(a.length / 256))]);
    return { y };
  });
  const { y } = await (await program.run({}, ["y"])).read();
  program.destroy();
  for (const operand of Object.values(operands)) operand.destroy();
  return Float32Array.from(y);
}

const least = 2 ** -102;

/**
 * The error in units in the last place of the exact value; 0 for equal infinities and NaN, and where the value lies so near 2^-102 or
 * the largest number that both sides are right.
 */
export function unitsOff(actual: number, exact: number): number {
  const isTiny = Math.abs(exact) < least;
  if (Number.isNaN(exact)) return Number.isNaN(actual) ? 0 : Number.POSITIVE_INFINITY;
  if (Math.abs(exact) >= 2 ** 128 * (1 - 2 ** -25))
    return actual === Math.sign(exact) * Number.POSITIVE_INFINITY ? 0 : unitsOfFinite(actual, exact);
  if (isTiny && actual === 0) return 0;
  return unitsOfFinite(actual, exact);
}

function unitsOfFinite(actual: number, exact: number): number {
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(exact))), -125);
  return Math.abs(actual - exact) / 2 ** (Math.min(exponent, 127) - 23);
}
