/**
 * Times the first update of the demo's stage 3, which compiles every kernel, and the second, in this process.
 * Without Mesa's folder of compiled shaders:
 *
 *   MESA_SHADER_CACHE_DIR=$(mktemp -d) npm run bench -- first_step
 */
import process from "node:process";
import { demoFiles, loadDemoEncoder } from "../../cli/demo_run/demo_files.ts";
import { demoSchedule } from "../../cli/demo_run/demo_schedule.ts";
import { firstOf } from "../../cli/runs/report_pictures.ts";
import { openDevice } from "../../engine/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import { MemoryRunStore, refine } from "../../refiner/index.ts";

const wantedSeconds = 10;
const device = await openDevice();
const files = await demoFiles();
const images = await openImages(files.train, { channels: 1 });
const { config } = demoSchedule("full", 0);
const run = refine({
  encoder: await loadDemoEncoder(device, files),
  images: firstOf(images, 3 * config.batch),
  config: { ...config, stage2Epochs: 0, stage3Epochs: 1 },
  store: new MemoryRunStore(),
});
let start = performance.now();
const seconds: number[] = [];
for await (const event of run) {
  if (event.kind !== "update") continue;
  seconds.push((performance.now() - start) / 1000);
  start = performance.now();
}
const [first = Number.NaN, ...others] = seconds;
console.log(
  `${device.info.name}: first update ${first.toFixed(1)} s, then ${others.map((one) => one.toFixed(2)).join(", ")} s`,
);
process.exit(first > wantedSeconds ? 1 : 0); // Dawn keeps the process alive
