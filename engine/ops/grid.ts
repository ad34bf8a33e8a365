import type { Device } from "../core/recording.ts";

/**
 * Workgroups of 64 for `count` invocations that stride by the whole grid, where each result depends on one invocation
 * only, so that their number changes no bit. Measured on lavapipe (bench/movement): 64 workgroups take 0.8 of the time of
 * 1024; a large GPU wants some 10^5 threads.
 */
export function gridOf(device: Device, count: number): [number] {
  return [Math.min(Math.ceil(count / 64), device.isSoftware ? 64 : 4096)];
}
