/**
 * What fine-tuning costs beside a plain training step of the same network: RandAugment and random erasing, mixing, drop path.
 * Updates of each variant in turns; medians of wall and CPU time.
 *
 * npm run bench -- finetune [rounds]
 */
import process from "node:process";
import { openDevice } from "../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import type { ImageBatch } from "../../refiner/data/index.ts";
import { finetuneConfig } from "../../refiner/index.ts";
import { FinetuneMethod } from "../../refiner/methods/finetune/finetune_method.ts";

const rounds = Number(process.argv[2] ?? 5);
const [batch, side, classes] = [16, 256, 1000];
const plain = { randAugment: 0, erase: 0, mixup: 0, cutmix: 0, dropPath: 0 };
const variants = {
  plain,
  "drop path": { ...plain, dropPath: 0.1 },
  "drop path, mixing": { randAugment: 0, erase: 0, dropPath: 0.1 },
  all: { dropPath: 0.1 },
};

const device = await openDevice({ notice: (line) => console.log(line) });
const vit = vitConfig("ti16");
const encoder = new VisionTransformer(device, vit);
initializeParameters(encoder.parameters, vitParameters(vit), 1);
const images = Array.from({ length: batch }, (_, image) => ({
  width: side,
  height: side,
  channels: 3 as const,
  data: Uint8Array.from({ length: 3 * side * side }, (_, i) => (i * 7919 + image * 104729) % 251),
}));
const given: ImageBatch = {
  number: 0,
  images,
  indices: Uint32Array.from({ length: batch }, (_, i) => i),
  labels: Int32Array.from({ length: batch }, (_, i) => (i * 61) % classes),
};
const classNames = Array.from({ length: classes }, (_, label) => String(label));
const task = { images: 100 * batch, imageBytes: 3 * side * side, classNames };
const runs = [];
for (const [name, settings] of Object.entries(variants)) {
  const method = new FinetuneMethod(encoder, finetuneConfig({ batch, warmup: 1, ...settings }), task);
  await method.initialize();
  runs.push({ name, method, wall: [] as number[], cpu: [] as number[] });
}

for (let update = 0; update < rounds + 1; update++) {
  for (const { method, wall, cpu } of runs) {
    const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
    const { result } = await method.run(given, { update, total: update, epoch: update });
    await result;
    const { user, system } = process.cpuUsage(startCpu);
    if (update === 0) continue; // kernels are compiled
    wall.push(performance.now() - startMs);
    cpu.push((user + system) / 1000);
  }
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};
const base = runs[0];
console.log(`ViT-Ti/16, ${batch} images of 224 pixels, ${classes} classes, ${rounds} rounds, ${device.info.name}`);
for (const { name, wall, cpu } of runs) {
  const ratio = cpu.map((value, i) => value / (base?.cpu[i] ?? Number.NaN));
  console.log(
    `${name.padEnd(18)} ${median(wall).toFixed(0).padStart(6)} ms, CPU ${median(cpu).toFixed(0).padStart(6)} ms, ${median(ratio).toFixed(3)} of the plain step's CPU time`,
  );
}
device.close();
