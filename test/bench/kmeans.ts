/**
 * k-means of 50,000 features of width 384 in 100 clusters, ten iterations: wall and processor time, and device memory against the plan.
 *
 *   npm run bench -- kmeans [rows] [width] [clusters] [iterations]
 */
import process from "node:process";
import { hostNormal, openDevice } from "../../engine/index.ts";
import { KMeansSearch, nearestCentroids } from "../../refiner/evaluation/index.ts";

const [rows = 50_000, columns = 384, clusters = 100, maxIterations = 10] = process.argv.slice(2).map(Number);
const device = await openDevice();
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
await search.run({ clusters, seed: 0, start, maxIterations: 1 }); // compiles the kernels
const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
const found = await search.run({ clusters, seed: 0, start, maxIterations });
const seconds = (performance.now() - startMs) / 1000;
const { user, system } = process.cpuUsage(startCpu);
const held = device.counters.heldBytes - before;
const reference = nearestCentroids(features, found.centroids).assignment;
const differing = reference.filter((cluster, row) => cluster !== found.assignment[row]).length;
console.log(`adapter: ${device.info.name}`);
console.log(
  `${rows} × ${columns}, ${clusters} clusters, ${found.iterations} iterations: ${seconds.toFixed(2)} s, processor ${((user + system) / 1e6).toFixed(2)} s`,
);
console.log(`inertia ${found.inertia.toPrecision(8)}; ${differing} rows belong elsewhere by float64`);
console.log(
  `device memory planned ${megabytes(planned)}, held ${megabytes(held)} (${(held / planned).toFixed(3)}), peak of the process ${megabytes(1024 * process.resourceUsage().maxRSS)}`,
);
search.destroy();
device.close();
