import type { Device, Dispatch } from "../core/recording.ts";
import { GPUBufferUsageFlags } from "../core/storage.ts";
import type { DispatchStep, Step } from "./step.ts";

/** GPU time of one dispatch. */
export interface DispatchTime {
  readonly kernel: string;
  readonly dispatch: Dispatch;
  readonly nanoseconds: number;
}

/** Dispatches per submit: a long program stays interruptible; at most 2048 fit the largest query set of WebGPU. */
const dispatchesPerSubmit = 64;

/** Runs the steps in order, every dispatch in a pass of its own between two timestamps. */
export async function timeSteps(device: Device, steps: readonly Step[]): Promise<DispatchTime[]> {
  const rows: DispatchTime[] = [];
  const set = device.gpu.createQuerySet({ type: "timestamp", count: 2 * dispatchesPerSubmit });
  const usage = GPUBufferUsageFlags.QUERY_RESOLVE | GPUBufferUsageFlags.COPY_SRC;
  const resolved = device.createBuffer("timestamps", set.count * 8, usage);
  try {
    for (let from = 0; from < steps.length; from += dispatchesPerSubmit) {
      const encoder = device.gpu.createCommandEncoder({ label: "profile" });
      const timed = encode(encoder, steps.slice(from, from + dispatchesPerSubmit), set);
      const bytes = 16 * timed.length;
      if (bytes === 0) {
        device.submit(encoder.finish());
        continue;
      }
      const staging = device.staging.take(bytes);
      encoder.resolveQuerySet(set, 0, 2 * timed.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
      device.submit(encoder.finish());
      const stamps = new BigUint64Array(await device.staging.collect(staging, bytes));
      timed.forEach(({ kernel, dispatch }, i) => {
        const nanoseconds = Number((stamps[2 * i + 1] ?? 0n) - (stamps[2 * i] ?? 0n));
        rows.push({ kernel: kernel.name, dispatch, nanoseconds });
      });
    }
  } finally {
    set.destroy();
    device.destroyBuffer(resolved);
  }
  return rows;
}

function encode(encoder: GPUCommandEncoder, steps: readonly Step[], querySet: GPUQuerySet): DispatchStep[] {
  const timed: DispatchStep[] = [];
  for (const step of steps) {
    if (step.type === "copy") {
      const { from, to } = step;
      encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, from.size);
      continue;
    }
    const at = 2 * timed.length;
    const timestampWrites = { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
    const pass = encoder.beginComputePass({ timestampWrites });
    pass.setPipeline(step.pipeline);
    pass.setBindGroup(0, step.group);
    pass.dispatchWorkgroups(...step.workgroups);
    pass.end();
    timed.push(step);
  }
  return timed;
}
