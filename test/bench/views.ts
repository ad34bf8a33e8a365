/**
 * Times the twelve views of the refiner, and the cheaper pipelines, on a batch of decoded images: images/s and GB/s of traffic
 * (images read, packed pixels written and read, views written), per kernel where timestamps exist, and the host's draws.
 *
 *   npm run bench -- views [batch] [repetitions]
 */
import process from "node:process";
import { type Device, openDevice, recordProgram } from "../../engine/index.ts";
import {
  drawViewParameters,
  evaluationParameters,
  evaluationViews,
  packImages,
  pretrainViews,
  refineViews,
  smallImageViews,
  type ViewConfig,
  views,
  viewWords,
} from "../../refiner/data/views/index.ts";

interface Work {
  readonly name: string;
  readonly config: ViewConfig;
  readonly width: number;
  readonly height: number;
  readonly isEvaluation?: boolean;
}

const works: readonly Work[] = [
  { name: "refine 2 x 224 + 10 x 96", config: refineViews(), width: 341, height: 256 },
  { name: "refine 2 x 32 + 10 x 12", config: smallImageViews(32), width: 32, height: 32 },
  { name: "pre-training 224", config: pretrainViews(), width: 341, height: 256 },
  { name: "evaluation 224", config: evaluationViews(), width: 500, height: 375, isEvaluation: true },
];

async function time(device: Device, work: Work, batch: number, repetitions: number): Promise<void> {
  const { config, width, height } = work;
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37 + (i >> 9)) & 255);
  const images = Array.from({ length: batch }, () => ({ width, height, channels: 3 as const, data }));
  const samples = images.map((_, index) => ({ index, width, height }));
  const packed = packImages(images, batch * data.length);
  const draw = (step: number): Uint32Array =>
    work.isEvaluation ? evaluationParameters(config, samples) : drawViewParameters(config, { seed: 0, step, samples });
  const recorded = recordProgram(
    device,
    (p) => {
      const operands = {
        images: p.input("images", [packed.images.length], "u32"),
        table: p.input("table", [batch, 4], "u32"),
        parameters: p.input("parameters", [draw(0).length / viewWords, viewWords], "u32"),
      };
      const { global, local = global } = views(p, operands, config);
      return { global, local };
    },
    { inference: true, name: work.name },
  );
  await recorded.compile();
  const milliseconds: number[] = [];
  const hostMilliseconds: number[] = [];
  for (let repetition = 0; repetition <= repetitions; repetition++) {
    const start = performance.now();
    const inputs = { images: packed.images, table: packed.table, parameters: draw(repetition) };
    const drawn = performance.now();
    await recorded.run(inputs);
    await device.idle();
    if (repetition === 0) continue; // the first one warms up
    hostMilliseconds.push(drawn - start);
    milliseconds.push(performance.now() - drawn);
  }
  const pixels = [config.global, config.local].reduce(
    (sum, group) => sum + (group ? group.views.length * group.heightPixels * group.widthPixels : 0),
    0,
  );
  const jitters = config.global.views.some(({ jitter }) => jitter.probability > 0);
  const bytes = batch * (data.length + pixels * (jitters ? 4 + 3 * 4 + 4 : 4 + 4) + pixels * 12);
  const ms = median(milliseconds);
  console.log(
    `${work.name.padEnd(26)} ${ms.toFixed(1).padStart(8)} ms ${((1000 * batch) / ms).toFixed(0).padStart(8)} images/s ${(bytes / ms / 1e6).toFixed(2).padStart(7)} GB/s; host draws ${((1000 * median(hostMilliseconds)) / batch).toFixed(1)} µs per image`,
  );
  if (device.features.has("timestamp-query")) {
    const inputs = { images: packed.images, table: packed.table, parameters: draw(1) };
    const totals = new Map<string, number[]>();
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const { kernel, milliseconds: total } of await recorded.profile(inputs))
        totals.set(kernel, [...(totals.get(kernel) ?? []), total]);
    }
    for (const [kernel, all] of totals) console.log(`  ${kernel.padEnd(24)} ${median(all).toFixed(2).padStart(8)} ms`);
  }
  recorded.destroy();
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

const batch = Number(process.argv[2] ?? 8);
const repetitions = Number(process.argv[3] ?? 5);
const device = await openDevice();
console.log(`${device.info.name}; batch ${batch}, medians of ${repetitions}`);
for (const work of works) await time(device, work, batch, repetitions);
device.close();
process.exit(0); // Dawn keeps the process alive
