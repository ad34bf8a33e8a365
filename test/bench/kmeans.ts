/**
 * k-means of 50,000 features of width 384 in 100 clusters, ten iterations, against TensorFlow.js (WebGPU): medians of wall time and
 * of the process's CPU time in turns, and device memory against the plan.
 *
 *   npm run bench -- kmeans [rows] [width] [clusters] [iterations] [rounds]
 */
import process from "node:process";
import { hostNormal, openDevice } from "../../engine/index.ts";
import { KMeansSearch, nearestCentroids } from "../../refiner/evaluation/index.ts";
import { squaredDistance } from "../../refiner/evaluation/statistics/groups.ts";
import { inTurns, openRival } from "./rivals/turns.mjs";

const [rows = 50_000, columns = 384, clusters = 100, maxIterations = 10, rounds = 3] = process.argv
  .slice(2)
  .map(Number);
const device = await openDevice({ notice: () => {} });
const centres = hostNormal(clusters * columns, { seed: 1, purpose: "centres" });
const noise = hostNormal(rows * columns, { seed: 1, purpose: "noise" });
const data = noise.map((value, at) => {
  const row = Math.floor(at / columns);
  return (
    20 * value + // so wide that ten iterations do not settle
    (centres[(row % clusters) * columns + (at % columns)] ?? 0)
  );
});
const features = { rows, columns, data };
const start = { rows: clusters, columns, data: data.slice(0, clusters * columns) };

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const before = device.counters.heldBytes;
const search = new KMeansSearch(device, features);
const planned = search.memory(clusters).total;
const options = { clusters, seed: 0, start, maxIterations };
const found = await search.run(options);
const held = device.counters.heldBytes - before;
const reference = nearestCentroids(features, found.centroids).assignment;
const differing = reference.filter((cluster, row) => cluster !== found.assignment[row]).length;
console.log(`adapter: ${device.info.name}`);
console.log(
  `${rows} × ${columns}, ${clusters} clusters, ${found.iterations} iterations; medians of ${rounds} rounds in turns`,
);
console.log(`inertia ${found.inertia.toPrecision(8)}; ${differing} rows belong elsewhere by float64`);
console.log(
  `device memory planned ${megabytes(planned)}, held ${megabytes(held)} (${(held / planned).toFixed(3)}), peak of the process ${megabytes(1024 * process.resourceUsage().maxRSS)}`,
);

const rival = await openRival(device.info.name);
const theirs = rival?.kMeans({ rows, columns, data, start: start.data, clusters, iterations: found.iterations });
if (theirs) {
  const { centroids, assignment } = await theirs.run();
  const other = { rows: clusters, columns, data: centroids };
  const inertia = assignment.reduce((sum, cluster, row) => sum + squaredDistance(features, row, other, cluster), 0);
  console.log(`inertia of tfjs ${inertia.toPrecision(8)}`);
  if (!(Math.abs(inertia / found.inertia - 1) < 1e-3)) throw new Error("tfjs does other work: its inertia differs");
}
const rivals = theirs && {
  tfjs: async () => {
    await theirs.run();
  },
};
await inTurns(
  {
    "k-means": async () => {
      await search.run(options);
    },
    ...rivals,
  },
  rounds,
);
process.exit(); // a rival's device is not closed
