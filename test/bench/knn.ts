/**
 * k-NN accuracy of 10,000 features among 60,000 of width 384, with the device memory that was taken, the peak of the process and
 * the time.
 *
 *   npx esbuild test/bench/knn.ts --bundle --platform=node --format=esm --packages=external --loader:.wgsl=text \
 *     --alias:#platform=./engine/platform/node.ts --outfile=dist/bench_knn.mjs && node dist/bench_knn.mjs [training rows] [test rows] [width]
 */
import process from "node:process";
import { hostNormal, openDevice } from "../../engine/index.ts";
import { knnAccuracy } from "../../refiner/evaluation/index.ts";

const [trainRows = 60_000, testRows = 10_000, columns = 384] = process.argv.slice(2).map(Number);
const classes = 10;
const device = await openDevice();
const centres = hostNormal(classes * columns, { seed: 1, purpose: "centres" });

/** Noise around the centre of each row's class. */
function labelled(rows: number, purpose: string) {
  const data = hostNormal(rows * columns, { seed: 1, purpose });
  const labels = Int32Array.from({ length: rows }, (_, row) => row % classes);
  for (let i = 0; i < data.length; i++) {
    const row = Math.floor(i / columns);
    data[i] = 4 * (data[i] ?? 0) + (centres[(row % classes) * columns + (i % columns)] ?? 0);
  }
  return { features: { rows, columns, data }, labels };
}

const train = labelled(trainRows, "train");
const test = labelled(testRows, "test");
const given = train.features.data.byteLength + test.features.data.byteLength;
const start = performance.now();
const accuracy = await knnAccuracy(device, train, test, { k: 20 });
const seconds = (performance.now() - start) / 1000;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
console.log(`adapter: ${device.info.name}`);
console.log(`${testRows} × ${trainRows}, width ${columns}: accuracy ${accuracy.toFixed(4)} in ${seconds.toFixed(1)} s`);
console.log(
  `features given ${megabytes(given)}, on the device ${megabytes(device.counters.bytes)}, peak of the process ${megabytes(1024 * process.resourceUsage().maxRSS)}; all similarities would be ${megabytes(4 * trainRows * testRows)}`,
);
device.close();
