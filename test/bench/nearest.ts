/**
 * Times the variants of the nearest-neighbour search, interleaved; prints medians of wall and processor time (the latter is what
 * counts on a software adapter whose cores are shared), and GFLOP/s.
 *
 *   npm run bench -- nearest [repetitions] [large]
 */
import process from "node:process";
import { hostNormal } from "../../engine/core/host_random.ts";
import { openDevice, recordProgram } from "../../engine/index.ts";
import { nearest } from "../../engine/ops/nearest.ts";
import { nearestVariants } from "../../engine/ops/nearest_kernels.ts";

const device = await openDevice();
const repetitions = Number(process.argv[2] ?? 5);
const all = nearestVariants.filter((variant) => variant.unsupported(device) === undefined).map(({ name }) => name);
const works =
  process.argv[3] === "large"
    ? [{ queries: 10_000, rows: 60_000, columns: 384, k: 20, variants: all.slice(0, 1) }] // k-NN evaluation of a small ViT
    : [
        { queries: 64, rows: 65_536, columns: 256, k: 20, variants: all },
        { queries: 64, rows: 65_536, columns: 256, k: 1, variants: all },
        { queries: 64, rows: 65_536, columns: 256, k: 256, variants: all.slice(0, 1) },
        { queries: 1, rows: 65_536, columns: 256, k: 20, variants: all },
        { queries: 512, rows: 65_536, columns: 256, k: 20, variants: all.slice(0, 1) }, // 2 views of 256 images, the default queue
      ];

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

for (const { queries, rows, columns, k, variants } of works) {
  const bank = device.tensor(hostNormal(rows * columns, { seed: 1, purpose: "bank" }), [rows, columns], "f32", "bank");
  const x = hostNormal(queries * columns, { seed: 1, purpose: "queries" });
  const runs = variants.map((variant) => {
    device.tuning.force("nearest", variant);
    const step = recordProgram(device, (program) => {
      const found = nearest(program.input("queries", [queries, columns]), bank, { k });
      return { similarities: found.similarities, indices: found.indices };
    });
    return { variant, step, wallMs: [] as number[], processorMs: [] as number[] };
  });
  for (const { step } of runs) await step.compile();
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const { step, wallMs, processorMs } of runs) {
      const used = process.cpuUsage();
      const start = performance.now();
      await (await step.run({ queries: x }, ["indices"])).read();
      wallMs.push(performance.now() - start);
      const { user, system } = process.cpuUsage(used);
      processorMs.push((user + system) / 1000);
    }
  }
  for (const { variant, step, wallMs, processorMs } of runs) {
    const best = Math.min(...wallMs);
    console.log(
      `${queries}x${columns} in ${rows}, k ${k}, ${variant}: wall ${median(wallMs).toFixed(0)} ms (best ${best.toFixed(0)}), processor ${median(processorMs).toFixed(0)} ms, ${((2e-6 * queries * rows * columns) / best).toFixed(1)} GFLOP/s, planned ${(step.stats.plannedPeakBytes / 2 ** 20).toFixed(1)} MiB`,
    );
    step.destroy();
  }
  bank.destroy();
}
device.close();
