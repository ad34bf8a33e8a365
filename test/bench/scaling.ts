/**
 * Shows how time and memory grow with batch, tokens, width, depth, queue length and heads, each doubled three times, with the
 * fitted exponent; exits with 1 where one is above what the method's arithmetic allows, in time both by medians and by the
 * fastest runs, since other work on the machine lifts either. The sizes of one axis take turns.
 *
 *   npm run bench -- scaling [repetitions] [axis …]
 */
import process from "node:process";
import { type Device, openDevice, type RecordedProgram, type Tensor } from "../../engine/index.ts";
import { type Axis, axes, recordSize } from "./scaling/steps.ts";

/** Room for a machine that is not quiet and for work that is done once per step, whatever its size. */
const tolerance = 0.15;

const [repetitionText = "5", ...wanted] = process.argv.slice(2);
const repetitions = Number(repetitionText);
const device = await openDevice();
console.log(`${device.info.name}; medians of ${repetitions} runs in turns`);
const tooSteep: string[] = [];
for (const axis of axes.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const sizes = Array.from({ length: 4 }, (_, i) => axis.first * 2 ** i);
  const rows = await measure(device, axis, sizes);
  console.log(
    `\n${axis.name.padEnd(14)} ${"median ms".padStart(10)} ${"least ms".padStart(10)} ${"planned MB".padStart(11)} ${"GFLOP".padStart(8)}`,
  );
  for (const { size, ms, leastMs, bytes, flops } of rows) {
    console.log(
      `${String(size).padEnd(14)} ${ms.toFixed(1).padStart(10)} ${leastMs.toFixed(1).padStart(10)} ${(bytes / 1e6).toFixed(2).padStart(11)} ${(flops / 1e9).toFixed(3).padStart(8)}`,
    );
  }
  const exponent = (of: (row: Row) => number): number => slope(sizes, rows.map(of));
  const [time, least] = [exponent(({ ms }) => ms), exponent(({ leastMs }) => leastMs)];
  const [memory, flops] = [exponent(({ bytes }) => bytes), exponent((row) => row.flops)];
  console.log(
    `exponent       ${time.toFixed(2).padStart(10)} ${least.toFixed(2).padStart(10)} ${memory.toFixed(2).padStart(11)} ${flops.toFixed(2).padStart(8)}   at most ${axis.mostTime} in time, ${axis.mostMemory} in memory: ${axis.reason}`,
  );
  if (Math.min(time, least) > axis.mostTime + tolerance) tooSteep.push(`time over ${axis.name}`);
  if (memory > axis.mostMemory + tolerance) tooSteep.push(`memory over ${axis.name}`);
}
console.log(tooSteep.length > 0 ? `\ngrows too fast: ${tooSteep.join(", ")}` : "\nnothing grows faster than it should");
process.exit(tooSteep.length > 0 ? 1 : 0); // Dawn keeps the process alive

interface Row {
  readonly size: number;
  readonly ms: number;
  readonly leastMs: number;
  readonly bytes: number;
  readonly flops: number;
}

async function measure(on: Device, axis: Axis, sizes: readonly number[]): Promise<Row[]> {
  const trials: {
    recorded: RecordedProgram<Record<string, Tensor>>;
    inputs: Record<string, ArrayLike<number>>;
    times: number[];
  }[] = [];
  for (const size of sizes) {
    const { recorded, inputs } = recordSize(on, axis.at(size));
    await recorded.compile();
    trials.push({ recorded, inputs, times: [] });
  }
  for (let repetition = 0; repetition <= repetitions; repetition++) {
    for (const { recorded, inputs, times } of trials) {
      const start = performance.now();
      await recorded.run(inputs);
      await on.gpu.queue.onSubmittedWorkDone();
      if (repetition > 0) times.push(performance.now() - start); // the first one warms up
    }
  }
  return trials.map(({ recorded, times }, i) => {
    const { plannedPeakBytes, inputBytes, stateBytes, flops } = recorded.stats;
    recorded.destroy();
    return {
      size: sizes[i] ?? 0,
      ms: median(times),
      leastMs: Math.min(...times),
      bytes: plannedPeakBytes + inputBytes + stateBytes,
      flops,
    };
  });
}

/** Exponent of the power law that fits best: the slope of a straight line through the logarithms. */
function slope(sizes: readonly number[], values: readonly number[]): number {
  const [xs, ys] = [sizes, values].map((list) => list.map(Math.log2));
  const mean = (list: readonly number[] = []): number => list.reduce((sum, value) => sum + value / list.length, 0);
  const [x0, y0] = [mean(xs), mean(ys)];
  const products = (xs ?? []).map((x, i) => (x - x0) * ((ys?.[i] ?? 0) - y0));
  const squares = (xs ?? []).map((x) => (x - x0) ** 2);
  return mean(products) / mean(squares);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
