import type { Device } from "../core/recording.ts";

/**
 * Workgroups of 64 for `count` invocations that stride by the whole grid, where each result depends on one invocation
 * only, so that their number changes no bit. Measured on lavapipe (bench/movement): 64 workgroups take 0.8 of the time of
 * 1024; a large GPU wants some 10^5 threads.
 */
export function gridOf(device: Device, count: number): [number] {
  return stridingGrid(device, Math.ceil(count / 64), device.isSoftware ? 64 : 4096);
}

/** Workgroups along one axis of a kernel that strides by its whole grid: any number of them computes everything. */
export function stridingGrid(device: Device, wanted: number, most = wanted): [number] {
  return [Math.min(wanted, most, device.limits.maxComputeWorkgroupsPerDimension)];
}

/**
 * A grid of `x × y × z` workgroups as it fits the device, whose axes are limited (WebGPU promises 65,535). As it was asked for
 * where that fits, else folded: then with some workgroups too many. The kernel finds its place with `unfold`, which each shader
 * carries, and lets those beyond the end return.
 */
export function foldGrid(device: Device, x: number, y = 1, z = 1): [number, number, number] {
  const limit = device.limits.maxComputeWorkgroupsPerDimension;
  if (Math.max(x, y, z) <= limit) return [x, y, z];
  const total = x * y * z;
  const planes = Math.ceil(total / (limit * limit));
  const lines = Math.ceil(total / (limit * planes));
  return [Math.ceil(total / (lines * planes)), lines, planes];
}
