import { d, tgpu } from "typegpu";
import source from "../../shaders/cast_elements.wgsl" with { type: "text" };
import fromBytesSource from "../../shaders/cast_from_bytes.wgsl" with { type: "text" };
import integersSource from "../../shaders/cast_integers.wgsl" with { type: "text" };
import toBytesSource from "../../shaders/cast_to_bytes.wgsl" with { type: "text" };
import { writtenBy } from "../core/command.ts";
import type { DType } from "../core/dtype.ts";
import { type Declarations, defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { programOf, Tensor } from "../core/tensor.ts";
import { gridOf } from "./grid.ts";

const Params = d.struct({ count: d.u32 }).$name("Params");
const params = { uniform: Params } as const;
export const castElementsKernel = defineKernel({
  name: "cast_elements",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params,
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});
export const castIntegersKernel = defineKernel({
  name: "cast_integers",
  source: integersSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params,
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});
export const castFromBytesKernel = defineKernel({
  name: "cast_from_bytes",
  source: fromBytesSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params,
    x: { storage: d.arrayOf(d.u32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});
export const castToBytesKernel = defineKernel({
  name: "cast_to_bytes",
  source: toBytesSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params,
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});

/**
 * The same values in another type. Floats become integers by truncation; values outside the range of the type saturate, also those of
 * another integer type (f16: become infinite). NaN becomes 0 as an integer and stays NaN as a float. Differentiable between f32 and
 * f16; integers are constants to differentiation, and a cast of floats to integers has no gradient: differentiating it throws a
 * NoGradientError; `detach` the result.
 *
 * @returns `x` itself if it has the type already
 * @throws MissingFeatureError on first run for f16 without `shader-f16`
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  const program = programOf("cast", x);
  if (x.dtype === "f16" || dtype === "f16") x.device.requireFeature("cast", "shader-f16");
  const y = program.empty(x.shape, dtype);
  const words = gridOf(program.device, Math.ceil(x.size / 4));
  if (x.dtype === "u8") {
    const declarations = { Destination: dtype };
    program.dispatch(castFromBytesKernel, { count: x.size }, { x, y }, words, { declarations });
  } else if (dtype === "u8") {
    const declarations = { Source: x.dtype };
    program.dispatch(castToBytesKernel, { count: x.size }, { x, y }, words, { declarations });
  } else castElements(program, x, y);
  if (!isFloat(dtype)) return y;
  return program.record(y, [x], (dy) => [isFloat(x.dtype) ? cast(dy, x.dtype) : undefined]);
}

/**
 * The f32 form of f16 weights in a program, a constant to differentiation: gradients with respect to it are f32. Costs nothing where
 * only {@link narrowed} reads it.
 */
export function widened(program: Program, x: Tensor): Tensor {
  x.device.requireFeature("cast", "shader-f16");
  const y = program.empty(x.shape, "f32");
  castElements(program, x, y);
  return y;
}

/**
 * `cast` for an operand whose gradient the caller computes: no gradient passes. What was {@link widened} is given back as it was,
 * without a launch, since f32 holds every number of f16.
 */
export function narrowed(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype || x.storage.kind === "state") return cast(x, dtype);
  const { commands } = x.storage.owner.resolve();
  const made = commands.findLast((command) => writtenBy(command).some(({ storage }) => storage === x.storage));
  const from = made?.type === "dispatch" && made.kernel === castElementsKernel ? made.operands.x : undefined;
  if (from?.dtype !== dtype || from.size !== x.size) return cast(x, dtype);
  return new Tensor(x.device, x.shape, dtype, from.storage, from.byteOffset);
}

/** One at a time, or four where the size allows. */
function castElements(program: Program, x: Tensor, y: Tensor): void {
  const [width, element] = x.size % 4 === 0 ? [4, (type: DType) => `vec4<${type}>`] : [1, (type: DType) => type];
  const types = { Source: element(x.dtype), Destination: element(y.dtype) };
  const truncates = isFloat(x.dtype) && !isFloat(y.dtype);
  const between: Declarations =
    isFloat(x.dtype) || isFloat(y.dtype) ? {} : { saturates: "true", largest: "2147483647" };
  const declarations = truncates ? { ...types, Value: element("f32"), ...rangeOf(y.dtype) } : { ...types, ...between };
  const kernel = truncates ? castIntegersKernel : castElementsKernel;
  const grid = gridOf(program.device, x.size / width);
  program.dispatch(kernel, { count: x.size / width }, { x, y }, grid, { declarations });
}

function rangeOf(dtype: DType): Declarations {
  return dtype === "i32" ? { limit: "2147483648.0", largest: "2147483647" } : {};
}

function isFloat(dtype: DType): boolean {
  return dtype === "f32" || dtype === "f16";
}
