/**
 * Compares forms of waiting for the device, in turns: spinning as Dawn does by itself, sleeping for half of the expected time
 * first, and the naps that the engine takes. A product of two square matrices per wait; wall time, and processor time of the
 * process, adapter included.
 *
 *   npm run bench -- waiting [rounds]
 */
import process from "node:process";
import { hostNormal, openDevice, recordProgram } from "../../engine/index.ts";
import { matmul } from "../../engine/ops/matmul.ts";

const rounds = Number(process.argv[2] ?? "15");
const device = await openDevice();
const cell = new Int32Array(new SharedArrayBuffer(4));
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const submitted = (): Promise<undefined> => device.gpu.queue.onSubmittedWorkDone();

interface Form {
  readonly name: string;
  /** @param expectedMs - median of the waits so far */
  readonly wait: (expectedMs: number) => Promise<unknown>;
}

const forms: readonly Form[] = [
  { name: "spinning", wait: submitted },
  {
    name: "half asleep",
    wait: (expectedMs) => {
      const done = submitted();
      if (expectedMs > 0) Atomics.wait(cell, 0, 0, expectedMs / 2);
      return done;
    },
  },
  { name: "naps", wait: () => device.idle() },
];

console.log(`${device.info.name}; medians of ${rounds} rounds in turns`);
for (const size of [64, 256, 512, 1024]) {
  const [a, b] = [1, 2].map((seed) => device.tensor(hostNormal(size * size, { seed, purpose: "bench" }), [size, size]));
  if (!a || !b) throw new Error("the operands are missing");
  const program = recordProgram(device, () => ({ y: matmul(a, b) }));
  const runs = forms.map((form) => ({ form, wallMs: [] as number[], processorMs: [] as number[] }));
  for (let round = -2; round < rounds; round++) {
    for (const { form, wallMs, processorMs } of runs) {
      const expectedMs = wallMs.length > 0 ? median(wallMs) : 0;
      const [start, used] = [performance.now(), process.cpuUsage()];
      await program.run();
      await form.wait(expectedMs);
      const { user, system } = process.cpuUsage(used);
      if (round < 0) continue; // the first ones compile
      wallMs.push(performance.now() - start);
      processorMs.push((user + system) / 1000);
    }
  }
  const columns = runs.map(
    ({ form, wallMs, processorMs }) =>
      `${form.name} ${median(wallMs).toFixed(2)} ms (${median(processorMs).toFixed(2)} ms of processors)`,
  );
  console.log(`matmul ${size}: ${columns.join(", ")}`);
  program.destroy();
}
device.close();
