/**
 * What fine-tuning costs beside a plain training step of the same network: RandAugment and random erasing, mixing, drop path.
 * Updates of each variant in turns, and the whole augmentation by itself; medians of wall and CPU time.
 *
 * npm run bench -- finetune [rounds]
 */
import process from "node:process";
import { openDevice, recordProgram } from "../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { mixImages } from "../../refiner/data/augmentation/mix_batch.ts";
import { drawMixing, mixingLength, mixingValues } from "../../refiner/data/augmentation/mixing.ts";
import type { ImageBatch } from "../../refiner/data/index.ts";
import { ViewInputs } from "../../refiner/data/views/view_inputs.ts";
import { finetuneConfig } from "../../refiner/index.ts";
import { FinetuneMethod } from "../../refiner/methods/finetune/finetune_method.ts";
import { finetuneViews } from "../../refiner/methods/finetune/finetune_views.ts";

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
interface Work {
  readonly name: string;
  readonly run: (update: number) => Promise<void>;
  readonly wall: number[];
  readonly cpu: number[];
}
const works: Work[] = [];
for (const [name, settings] of Object.entries(variants)) {
  const method = new FinetuneMethod(encoder, finetuneConfig({ batch, warmup: 1, ...settings }), task);
  await method.initialize();
  const run = async (update: number): Promise<void> => {
    const { result } = await method.run(given, { update, total: update, epoch: update });
    await result;
  };
  works.push({ name, run, wall: [], cpu: [] });
}
works.push({ name: "augmentation alone", run: augmentation(), wall: [], cpu: [] });

for (let update = 0; update < rounds + 1; update++) {
  for (const { run, wall, cpu } of works) {
    const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
    await run(update);
    const { user, system } = process.cpuUsage(startCpu);
    if (update === 0) continue; // kernels are compiled
    wall.push(performance.now() - startMs);
    cpu.push((user + system) / 1000);
  }
}

/** What `all` does to its images before the encoder sees them: draws, upload, views with RandAugment and erasing, mixing. */
function augmentation(): (update: number) => Promise<void> {
  const config = finetuneConfig({ batch });
  const inputs = new ViewInputs(finetuneViews(config, vit), batch, batch * task.imageBytes);
  const program = recordProgram(device, (p) => {
    const [view] = inputs.record(p);
    if (!view) throw new Error("the views recorded nothing");
    return { mixed: mixImages(view, p.input("mixing", [mixingLength])) };
  });
  return async (update) => {
    const size = [vit.heightPixels, vit.widthPixels] as const;
    const mixing = drawMixing({ mixupAlpha: config.mixup, cutmixAlpha: config.cutmix }, size, {
      seed: 0,
      step: update,
    });
    await program.run({ ...inputs.values(given, 0, 0, update), mixing: mixingValues(mixing) });
    await device.idle();
  };
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};
const base = works[0];
console.log(`ViT-Ti/16, ${batch} images of 224 pixels, ${classes} classes, ${rounds} rounds, ${device.info.name}`);
for (const { name, wall, cpu } of works) {
  const ratio = (key: "wall" | "cpu", values: readonly number[]): string =>
    median(values.map((value, i) => value / (base?.[key][i] ?? Number.NaN))).toFixed(3);
  console.log(
    `${name.padEnd(18)} ${median(wall).toFixed(0).padStart(6)} ms (${ratio("wall", wall)} of plain), CPU ${median(cpu).toFixed(0).padStart(6)} ms (${ratio("cpu", cpu)})`,
  );
}
device.close();
