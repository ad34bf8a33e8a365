/**
 * Refines a small model on a folder of 500-px JPEGs and prints the share of time that training waits for data, then images/s of the
 * loader alone and of plain sharp with as many images under way, interleaved.
 *
 *   npx esbuild test/bench/data_loading.ts --bundle --platform=node --format=esm --packages=external --loader:.wgsl=text \
 *     --alias:#platform=./engine/platform/node.ts --outfile=dist/bench_data_loading.mjs && node dist/bench_data_loading.mjs [images] [updates]
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import sharp from "sharp";
import { hostUniform, openDevice } from "../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import { MemoryRunStore, orderedBatches, refine, refineConfig } from "../../refiner/index.ts";

const imageCount = Number(process.argv[2] ?? 256);
const updates = Number(process.argv[3] ?? 40);
const side = 500;
const batch = 16;
const globalPixels = 64; // images are decoded to twice that
const repetitions = 3;

/** Photograph-like content: smooth shapes with noise, about 60 kB at quality 85. */
async function writeJpegs(folder: string): Promise<void> {
  const noise = hostUniform(2 ** 17, { seed: 0, purpose: "noise" });
  for (let i = 0; i < imageCount; i++) {
    const coarse = hostUniform(3 * 25 * 25, { seed: i, purpose: "coarse" }).map((value) => 255 * value);
    const smooth = await sharp(Uint8Array.from(coarse), { raw: { width: 25, height: 25, channels: 3 } })
      .resize(side, side, { kernel: "cubic" })
      .raw()
      .toBuffer();
    const data = smooth.map((value, at) => value + 24 * ((noise[(at + 977 * i) % noise.length] ?? 0) - 0.5));
    await sharp(data, { raw: { width: side, height: side, channels: 3 } })
      .jpeg({ quality: 85 })
      .toFile(join(folder, `${String(i).padStart(5, "0")}.jpg`));
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function trainingShare(folder: string): Promise<void> {
  const device = await openDevice();
  const images = await openImages(folder);
  const vit = vitConfig({
    patchPixels: 16,
    width: 32,
    blocks: 2,
    heads: 2,
    heightPixels: globalPixels,
    widthPixels: globalPixels,
  });
  const encoder = new VisionTransformer(device, vit);
  initializeParameters(encoder.parameters, vitParameters(vit), 1);
  encoder.writeSincosPositions();
  const config = refineConfig(
    {
      batch,
      heads: ["last"],
      projectorWidth: 64,
      predictorWidth: 64,
      outputWidth: 32,
      queueLength: 256,
      localViews: 0,
      stage2Epochs: 0,
      stage3Epochs: updates / Math.floor(imageCount / batch),
      checkpointEvery: 1000,
      checkpointMinutes: 1000,
    },
    "small",
  );
  const stepMs: number[] = [];
  const waitedMs: number[] = [];
  for await (const event of refine({ encoder, images, config, store: new MemoryRunStore() })) {
    if (event.kind !== "update" || event.update <= 5) continue; // compiling, and the first batches
    const elapsedMs = (1000 * batch) / event.imagesPerSecond;
    stepMs.push(elapsedMs);
    waitedMs.push(event.waitShare * elapsedMs);
  }
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  console.log(`adapter: ${device.info.name}`);
  console.log(`step: median ${median(stepMs).toFixed(0)} ms, ${(batch / (median(stepMs) / 1000)).toFixed(0)} images/s`);
  console.log(`waiting for data: ${((100 * sum(waitedMs)) / sum(stepMs)).toFixed(2)} % of ${stepMs.length} steps`);
  await images.close?.();
  device.close();
}

/** Images per second of the loader, with nothing else to do. */
async function loaderRate(folder: string): Promise<number> {
  const images = await openImages(folder);
  const feed = orderedBatches(images, { batchSize: batch, resizeTo: 2 * globalPixels });
  await feed.next(); // threads start
  const start = performance.now();
  let count = 0;
  for await (const part of feed) count += part.images.length;
  await images.close?.();
  return (1000 * count) / (performance.now() - start);
}

/** Images per second of sharp itself: the same decoding from files, `threads` images at once. */
async function sharpRate(folder: string, threads: number): Promise<number> {
  const names = Array.from({ length: imageCount }, (_, i) => join(folder, `${String(i).padStart(5, "0")}.jpg`));
  const start = performance.now();
  const decodeRest = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const bounds = { width: 2 * globalPixels, height: 2 * globalPixels, fit: "outside" } as const;
      await sharp(name).resize(bounds).raw().toBuffer();
    }
  };
  await Promise.all(Array.from({ length: threads }, decodeRest));
  return (1000 * imageCount) / (performance.now() - start);
}

const folder = await mkdtemp(join(tmpdir(), "data-loading-"));
try {
  await writeJpegs(folder);
  const { length } = await readFile(join(folder, "00000.jpg"));
  console.log(`${imageCount} JPEGs of ${side} × ${side}, the first has ${(length / 1000).toFixed(0)} kB`);
  await trainingShare(folder);
  sharp.concurrency(1);
  const threads = Math.max(1, availableParallelism() - 1);
  const [loader, plain]: [number[], number[]] = [[], []];
  for (let i = 0; i < repetitions; i++) {
    loader.push(await loaderRate(folder));
    plain.push(await sharpRate(folder, threads));
  }
  console.log(
    `decoding alone: ${median(loader).toFixed(0)} images/s; plain sharp, ${threads} at once: ${median(plain).toFixed(0)} images/s`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
