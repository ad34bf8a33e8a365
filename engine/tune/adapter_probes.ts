import { d, tgpu } from "typegpu";
import copySource from "../../shaders/probe_copy.wgsl" with { type: "text" };
import flopsSource from "../../shaders/probe_flops.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import type { Device } from "../core/recording.ts";
import { recordProgram } from "../run/recorded_program.ts";

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

/** A recorded probe: how much one run computes or moves. */
export interface Probe {
  readonly kind: "arithmetic" | "copy";
  /** Floating-point operations, or bytes read and written. */
  readonly amount: number;
  readonly program: ReturnType<typeof recordProgram>;
}

/** Records probes of several shapes, since no single one is the fastest on every adapter. */
export function recordProbes(device: Device): Probe[] {
  const steps = device.isSoftware ? 512 : 1024;
  const total = device.isSoftware ? 2048 : 2 ** 19; // invocations, enough to fill the adapter
  // One vector register of a CPU and more, or one subgroup of a GPU and more.
  const arithmetic = (device.isSoftware ? [8, 16, 64] : [64, 128, 256]).map((lanes): Probe => {
    const program = recordProgram(device, (p) => {
      const y = p.empty([total]);
      const params = { steps, factor: 0.5, invocations: total };
      p.dispatch(probeFlopsKernel, params, { y }, [total / lanes], { constants: { lanes } });
      return { y };
    });
    return { kind: "arithmetic", amount: steps * total * flopsPerStep, program };
  });
  const length = Math.min(copiedBytes, device.limits.maxStorageBufferBindingSize) / 4;
  const source = device.zeros([length], "u32", "probe");
  const target = device.zeros([length], "u32", "probe");
  const copies = (device.isSoftware ? [16, 64, 256] : [1024, 4096, 16384]).map((groups): Probe => {
    const program = recordProgram(device, (p) => {
      p.dispatch(probeCopyKernel, { count: length / 4 }, { x: p.own(source), y: p.own(target) }, [groups]);
      return {};
    });
    return { kind: "copy", amount: 2 * 4 * length, program };
  });
  return [...arithmetic, ...copies];
}

/** Measures the arithmetic and the bandwidth peak: the best of all probes and runs, since any other load only slows them down. */
export async function measurePeaks(device: Device, runs = 3): Promise<AdapterPeaks> {
  const probes = recordProbes(device);
  const least = probes.map(() => Number.POSITIVE_INFINITY);
  for (let run = 0; run <= runs; run++) {
    for (const [i, { program }] of probes.entries()) {
      const start = performance.now();
      await program.run();
      await device.idle();
      if (run > 0) least[i] = Math.min(least[i] ?? 0, performance.now() - start); // the first run compiles
    }
  }
  for (const { program } of probes) program.destroy();
  const best = (kind: Probe["kind"]): number =>
    Math.max(...probes.map((probe, i) => (probe.kind === kind ? probe.amount / 1e6 / (least[i] ?? 0) : 0)));
  return { gflops: best("arithmetic"), gigabytesPerSecond: best("copy") };
}
