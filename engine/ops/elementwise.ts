import type { DType } from "../dtype.ts";
import type { Declarations } from "../kernel.ts";

/** How a kernel walks over all elements of a tensor in steps of its whole grid. */
export interface ElementwiseLaunch {
  /** Elements of the kernel's `Element` type: four numbers each where the size allows. */
  readonly count: number;
  readonly workgroups: readonly [number];
  readonly declarations: Declarations;
}

/** Threads per workgroup of the elementwise kernels. */
const lanes = 64;
/** Launching more costs time on software adapters and fills no further unit of a GPU; each thread strides over the rest. */
const mostWorkgroups = 1024;

/** @param dtype - f32 or f16, as stored; the kernels compute in f32 */
export function elementwiseLaunch(size: number, dtype: DType): ElementwiseLaunch {
  const wide = size % 4 === 0;
  const count = wide ? size / 4 : size;
  return { count, workgroups: stridingGroups(count), declarations: elementTypes(wide, dtype) };
}

/** Workgroups of 64 for `count` invocations that stride over what is beyond the grid. */
export function stridingGroups(count: number): [number] {
  return [Math.min(Math.ceil(count / lanes), mostWorkgroups)];
}

/** Values of the aliases `Element` (computed) and `Stored` (in memory). */
export function elementTypes(wide: boolean, dtype: DType): { Element: string; Stored: string } {
  if (dtype === "f16") return wide ? { Element: "vec4f", Stored: "vec4<f16>" } : { Element: "f32", Stored: "f16" };
  return wide ? { Element: "vec4f", Stored: "vec4f" } : { Element: "f32", Stored: "f32" };
}
