import { d, tgpu } from "typegpu";
import copySource from "../shaders/probe_copy.wgsl" with { type: "text" };
import flopsSource from "../shaders/probe_flops.wgsl" with { type: "text" };
import type { Device } from "./device.ts";
import { defineKernel } from "./kernel.ts";
import { recordProgram } from "./recorded.ts";

const CopyParams = d.struct({ count: d.u32 }).$name("Params");
export const probeCopyKernel = defineKernel({
  name: "probe_copy",
  source: copySource,
  params: CopyParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: CopyParams },
    x: { storage: d.arrayOf(d.vec4u) },
    y: { storage: d.arrayOf(d.vec4u), access: "mutable" },
  }),
});
const FlopsParams = d.struct({ steps: d.u32, factor: d.f32, invocations: d.u32 }).$name("Params");
export const probeFlopsKernel = defineKernel({
  name: "probe_flops",
  source: flopsSource,
  params: FlopsParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: FlopsParams },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/** What the adapter reaches with the simplest kernels. */
export interface AdapterPeaks {
  /** 10⁹ f32 operations per second of independent multiply-adds. */
  readonly gflops: number;
  /** 10⁹ bytes per second of a copy, read and written bytes together. */
  readonly gigabytesPerSecond: number;
}

const flopsPerStep = 16 * 8 * 2; // chains, turns, multiply and add
/** Larger than the last-level cache of most CPUs and GPUs. */
const copiedBytes = 2 ** 26;

/** Measures the arithmetic and the bandwidth peak: the best of some runs, since any other load only slows them down. */
export async function measurePeaks(device: Device, runs = 5): Promise<AdapterPeaks> {
  const lanes = device.isSoftware ? 8 : 64; // one vector register of a CPU
  const groups = device.isSoftware ? 256 : 8192;
  const invocations = lanes * groups;
  const steps = device.isSoftware ? 512 : 1024;
  const arithmetic = recordProgram(device, (program) => {
    const y = program.empty([invocations]);
    const params = { steps, factor: 0.5, invocations };
    program.dispatch(probeFlopsKernel, params, { y }, [groups], { constants: { lanes } });
    return { y };
  });
  const length = Math.min(copiedBytes, device.limits.maxStorageBufferBindingSize) / 4;
  const source = device.zeros([length], "u32", "probe");
  const copy = recordProgram(device, (program) => {
    const y = program.empty([length], "u32");
    const grid = [device.isSoftware ? 64 : 4096];
    program.dispatch(probeCopyKernel, { count: length / 4 }, { x: source, y }, grid);
    return { y };
  });
  const gflops = (steps * invocations * flopsPerStep) / 1e6 / (await fastest(device, arithmetic, runs));
  const gigabytesPerSecond = (2 * 4 * length) / 1e6 / (await fastest(device, copy, runs));
  copy.destroy();
  if (source.storage.kind === "state") source.storage.destroy();
  arithmetic.destroy();
  return { gflops, gigabytesPerSecond };
}

/** @returns the least milliseconds of a run */
async function fastest(device: Device, program: ReturnType<typeof recordProgram>, runs: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= runs; i++) {
    const start = performance.now();
    await program.run();
    await device.idle(`probe ${program.program.name}`);
    if (i > 0) least = Math.min(least, performance.now() - start); // the first run compiles
  }
  return least;
}
