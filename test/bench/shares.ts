/**
 * Prints which share of the adapter's peaks the kernels of the acceptance list reach, all in one run in turns with the probes:
 * medians against the fastest probe by medians, and fastest runs against the fastest run of a probe. Exits with 1 where a share of
 * medians is below what is wanted.
 *
 *   npm run bench -- shares [repetitions] [part of a name]
 */
import process from "node:process";
import { openDevice, type Program, recordProgram, type Tensor } from "../../engine/index.ts";
import { recordProbes } from "../../engine/tune/adapter_probes.ts";
import { type Work, works } from "./shares/works.ts";

const [repetitionText = "7", part = ""] = process.argv.slice(2);
const repetitions = Number(repetitionText);
const device = await openDevice();
const record = (work: Work) =>
  recordProgram(device, (program: Program): Record<string, Tensor> => {
    const results = work.record(program);
    for (const y of results) if (y.program !== program) program.absorb(y.program);
    return Object.fromEntries(results.map((y, i) => [`y${i}`, y]));
  });
const entries = works(device)
  .filter(({ name }) => name.includes(part))
  .map((work) => ({ work, program: record(work), inputs: work.inputs ?? {}, times: [] as number[] }));
const probes = recordProbes(device).map((probe) => ({
  probe,
  program: probe.program,
  inputs: {},
  times: [] as number[],
}));
for (let repetition = 0; repetition <= repetitions; repetition++) {
  for (const { program, inputs, times } of [...probes, ...entries]) {
    const start = performance.now();
    await program.run(inputs);
    await device.idle();
    if (repetition > 0) times.push(performance.now() - start); // the first one compiles
  }
}
const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[times.length >> 1] ?? Number.NaN;
const peakOf = (kind: Work["bound"], of: (times: readonly number[]) => number): number =>
  Math.max(...probes.map(({ probe, times }) => (probe.kind === kind ? probe.amount / 1e6 / of(times) : 0)));
const least = (times: readonly number[]): number => Math.min(...times);
const [gflops, gigabytes] = (["arithmetic", "copy"] as const).map((kind) =>
  [median, least].map((of) => peakOf(kind, of).toPrecision(3)).join(" and "),
);
console.log(`${device.info.name}; ${repetitions} repetitions in turns, medians and fastest runs`);
console.log(`peaks ${gflops} GFLOP/s, ${gigabytes} GB/s`);
console.log(`${"".padEnd(34)} ms median      least   share %    fastest %     wanted %`);
const short: string[] = [];
for (const { work, times } of entries) {
  const { name, bound, amount, wanted } = work;
  const share = (of: (list: readonly number[]) => number): number => amount / 1e4 / of(times) / peakOf(bound, of);
  if (wanted !== undefined && share(median) < wanted) short.push(name);
  const columns = [median(times), least(times), share(median), share(least)].map((value) => value.toFixed(1));
  console.log(
    `${name.padEnd(34)} ${[...columns, wanted ?? "-"].map((column) => String(column).padStart(10)).join(" ")}`,
  );
}
console.log(short.length > 0 ? `below: ${short.join(", ")}` : "all reach what is wanted");
process.exit(short.length > 0 ? 1 : 0); // Dawn keeps the process alive
