/** The smallest `maxComputeWorkgroupsPerDimension` that WebGPU allows; more invocations than fit are reached by a stride loop in the kernel. */
const maxWorkgroups = 65535;

/** Workgroups along x for kernels that stride over `items` by the whole grid. */
export function gridFor(items: number, workgroupSize = 64): readonly [number] {
  return [Math.min(maxWorkgroups, Math.ceil(items / workgroupSize))];
}
