/**
 * Times the way from the start of a process to its first matrix product: the built package against a bare Dawn script, in turns.
 * Both must find their kernels in the same state of the driver's cache, so one run of each is not counted.
 *
 *   npm run build && npm run bench -- startup [repetitions]
 */
import { spawn } from "node:child_process";
import process from "node:process";

const most = 1.5; // times the bare script
const sides = ["bare", "ours"] as const;
const repetitions = Number(process.argv[2] ?? 9);
const times: Record<(typeof sides)[number], number[]> = { bare: [], ours: [] };
for (let repetition = 0; repetition <= repetitions; repetition++) {
  for (const side of sides) {
    const milliseconds = await firstResult(`test/bench/startup/${side}.mjs`);
    if (repetition > 0) times[side].push(milliseconds);
  }
}
const ratios = times.ours.map((ms, i) => ms / (times.bare[i] ?? ms));
const ratio = median(times.ours) / median(times.bare);
for (const side of sides) {
  const [list, least] = [times[side], Math.min(...times[side])];
  console.log(`${side.padEnd(5)} median ${median(list).toFixed(0)} ms, least ${least.toFixed(0)} ms`);
}
console.log(
  `ratio of medians ${ratio.toFixed(2)}, median of ratios ${median(ratios).toFixed(2)}; at most ${most} wanted`,
);
if (ratio > most) process.exitCode = 1;

/** @returns milliseconds from starting the process to its word that the product is there */
function firstResult(script: string): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "ignore"] });
  return new Promise((resolve, reject) => {
    child.stdout.once("data", (text: Buffer) => {
      const milliseconds = performance.now() - start;
      child.once("exit", () =>
        String(text) === "done" ? resolve(milliseconds) : reject(new Error(`${script}: ${text}`)),
      );
    });
    child.once("error", reject);
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
