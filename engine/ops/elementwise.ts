import type { DType } from "../core/dtype.ts";
import type { Declarations } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import type { Tensor } from "../core/tensor.ts";
import { stridingGrid } from "./grid.ts";

/** How a kernel walks over all elements of a tensor in steps of its whole grid. */
export interface ElementwiseLaunch {
  /** Elements of the kernel's `Element` type: four numbers each where the size allows. */
  readonly count: number;
  readonly workgroups: readonly [number];
  readonly declarations: Declarations;
}

/** Threads per workgroup of the elementwise kernels. */
const lanes = 64;
/** Enough threads for a large GPU; each strides over the rest. */
const mostWorkgroups = 4096;
/** A workgroup is a task of a CPU's thread pool: GELU of 1576 × 768 takes 3.4 ms by 128 and 5.2 by 1024 of them on lavapipe. */
const mostWorkgroupsOfSoftware = 128;

/** @param x - the result or an operand of its shape, f32 or f16; the kernels compute in f32 */
export function elementwiseLaunch(x: Tensor): ElementwiseLaunch {
  const wide = x.size % 4 === 0;
  const count = wide ? x.size / 4 : x.size;
  return { count, workgroups: stridingGroups(count, x.device), declarations: elementTypes(wide, x.dtype) };
}

/** Workgroups of 64 for `count` invocations that stride over what is beyond the grid. */
export function stridingGroups(count: number, device: Device): [number] {
  return stridingGrid(device, Math.ceil(count / lanes), device.isSoftware ? mostWorkgroupsOfSoftware : mostWorkgroups);
}

/** As {@link stridingGroups} where many workgroups pay on CPUs, too: threads whose work differs, or that walk whole rows. */
export function manyStridingGroups(count: number, device: Device): [number] {
  return stridingGrid(device, Math.ceil(count / lanes), mostWorkgroups);
}

/** Values of the aliases `Element` (computed) and `Stored` (in memory). */
export function elementTypes(wide: boolean, dtype: DType): { Element: string; Stored: string } {
  if (dtype === "f16") return wide ? { Element: "vec4f", Stored: "vec4<f16>" } : { Element: "f32", Stored: "f16" };
  return wide ? { Element: "vec4f", Stored: "vec4f" } : { Element: "f32", Stored: "f32" };
}
