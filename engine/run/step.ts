import type { BufferRange } from "../core/device_parts.ts";
import type { Kernel } from "../core/kernel.ts";
import type { Dispatch } from "../core/recording.ts";

/** A kernel launch of a program, with everything that the device needs for it. */
export interface DispatchStep {
  readonly type: "dispatch";
  readonly dispatch: Dispatch;
  readonly kernel: Kernel;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** What one command of a program comes to on the device. */
export type Step = DispatchStep | { readonly type: "copy"; readonly from: BufferRange; readonly to: BufferRange };
