import { d, tgpu } from "typegpu";
import source from "../../shaders/fill.wgsl" with { type: "text" };
import { type DType, integerRanges } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { numberToF16 } from "../core/half_precision.ts";
import { defineKernel } from "../core/kernel.ts";
import { onGrid } from "../core/number_grid.ts";
import type { Program } from "../core/program.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { stridingGrid } from "./grid.ts";

const Params = d.struct({ count: d.u32, bits: d.u32 }).$name("Params");
const layout = tgpu.bindGroupLayout({
  params: { uniform: Params },
  y: { storage: d.arrayOf(d.u32), access: "mutable" },
});
export const fillKernel = defineKernel({ name: "fill", source, params: Params, layout });

/** More workgroups than this gain nothing: each invocation then strides over the rest. */
const maxWorkgroups = 4096;

/**
 * A tensor with the same value everywhere; no gradient.
 *
 * @throws OptionError if the value does not fit the dtype
 */
export function full(program: Program, shape: Shape, value: number, dtype: DType = "f32"): Tensor {
  const y = program.empty(shape, dtype);
  fillState(program, y, value);
  return y;
}

/** Overwrites a tensor of the program, or state, with one value. */
export function fillState(program: Program, y: Tensor, value: number): void {
  const count = Math.ceil(y.sizeBytes / 4);
  program.dispatch(
    fillKernel,
    { count, bits: bitPattern(program.device.reproducible ? onGrid(value) : value, y.dtype) },
    { y },
    stridingGrid(program.device, Math.ceil(count / 64), maxWorkgroups),
  );
}

function bitPattern(value: number, dtype: DType): number {
  const bytes = new DataView(new ArrayBuffer(4));
  if (dtype === "f32") bytes.setFloat32(0, value, true);
  else if (dtype === "f16") bytes.setUint32(0, numberToF16(value) * 0x10001, true);
  else {
    const [low, high] = dtype === "u8" ? [0, 0] : (integerRanges[dtype] ?? [0, 0]);
    if (!Number.isInteger(value) || value < low || value > high)
      throw new OptionError(
        `full: ${value} cannot be written as ${dtype}; give a whole number in ${low} … ${high}, or cast to a type that holds it`,
      );
    bytes.setInt32(0, value | 0, true);
  }
  return bytes.getUint32(0, true);
}
