/**
 * Time that JavaScript takes for one replay of a step, with a null program: the device takes uploads and encoded commands, but
 * `submit` does nothing. Everything else is that of a run: checks and uploads of inputs, encoding of every launch, copies to the
 * host of all outputs. The share beside it is that of a real step of one image (`--share`; minutes on a software adapter).
 *
 *   npm run bench -- script_time [replays] [--share]
 */
import process from "node:process";
import { type Device, openDevice } from "../../engine/index.ts";
import {
  type BenchProgram,
  type BenchStep,
  benchSteps,
  recordBenchStep,
} from "../../refiner/methods/refine/benchmark_step.ts";

const device = await openDevice();
const replays = Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 300);
const warmup = 50; // replays until the JIT compiler is done
const measuresShare = process.argv.includes("--share");

console.log(`ViT-Ti/16, ${replays} replays on ${device.info.name}`);
for (const step of benchSteps) {
  const bench = recordBenchStep(device, { model: "ti16", batch: 1, step, queueLength: 1024 });
  const real = measuresShare ? await realStep(device, bench) : undefined;
  const times = await nullReplays(device, bench);
  console.log(describe(step, bench.recorded.stats.dispatches, times, real));
  bench.recorded.destroy();
}
device.close();

interface NullTimes {
  /** Milliseconds of each replay, sorted. */
  readonly sorted: readonly number[];
  /** Mean processor time of a replay in milliseconds: what other processes take does not count. */
  readonly processorMs: number;
}

async function nullReplays(owner: Device, { recorded, inputs }: BenchProgram): Promise<NullTimes> {
  await recorded.compile();
  const names = Object.keys(recorded.outputs);
  Object.defineProperty(owner, "submit", { configurable: true, value: () => undefined });
  const times: number[] = [];
  let processorMs = 0;
  for (let replay = 0; replay < warmup + replays; replay++) {
    const before = process.cpuUsage();
    const start = performance.now();
    const run = recorded.run(inputs, names); // submits before it returns
    times.push(performance.now() - start);
    const { user, system } = process.cpuUsage(before);
    if (replay >= warmup) processorMs += (user + system) / 1000 / replays;
    await (await run).read(); // lets the staging buffer return to its pool
  }
  Reflect.deleteProperty(owner, "submit");
  return { sorted: times.slice(warmup).sort((a, b) => a - b), processorMs };
}

/** Milliseconds of a real step: the shorter of two, the first of which may compile. */
async function realStep(owner: Device, { recorded, inputs }: BenchProgram): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 2; run++) {
    const start = performance.now();
    await recorded.run(inputs);
    await owner.idle();
    times.push(performance.now() - start);
  }
  return Math.min(...times);
}

function describe(step: BenchStep, launches: number, times: NullTimes, real: number | undefined): string {
  const { sorted, processorMs } = times;
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
  const [fastest, median] = [at(0).toFixed(2), at(0.5).toFixed(2)];
  const share = real === undefined ? "" : `, ${((100 * at(0.5)) / real).toFixed(2)} % of ${real.toFixed(0)} ms`;
  return `${step}: ${launches} launches, fastest ${fastest} ms, median ${median} ms, processor ${processorMs.toFixed(2)} ms${share}`;
}
