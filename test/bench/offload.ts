/**
 * Processor and wall time of a micro-batched update of a small ViT with state on the host, against the same with all of it on the device, in turns.
 *
 *   npm run bench -- offload [rounds]
 */
import process from "node:process";
import { type Device, hostNormal, openDevice } from "../../engine/index.ts";
import { initializeParameters, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { refineConfig } from "../../refiner/methods/refine/refine_config.ts";
import { RefinerModel } from "../../refiner/methods/refine/refiner_model.ts";
import { Stage } from "../../refiner/methods/refine/stage.ts";
import { planStage } from "../../refiner/methods/refine/stage_plan.ts";
import { HostArena } from "../../refiner/training/offload/host_arena.ts";

const [batch, microBatch, localPixels] = [8, 4, 96];
const rounds = Number(process.argv[2] ?? 7);
const device = await openDevice();
const localViews = 2;
/** Half of ti16. */
const vit = vitConfig("ti16", { blocks: 6 });

type Offload = ReturnType<typeof refineConfig>["offload"];

/** One stage 3 with its state; call it to make an update. */
async function training(on: Device, offload: Offload, precision: "f32" | "f16"): Promise<() => Promise<void>> {
  const encoder = new VisionTransformer(on, vit);
  initializeParameters(encoder.parameters, vitParameters(vit), 0);
  encoder.writeSincosPositions();
  const sizes = { projectorWidth: 256, predictorWidth: 512, outputWidth: 64, queueLength: 4096 };
  const config = refineConfig({
    batch,
    microBatch,
    localPixels,
    localViews,
    heads: [4, "last"],
    offload,
    precision,
    ...sizes,
  });
  const head = { inputWidth: vit.width, ...sizes };
  const model = new RefinerModel(encoder, { placements: config.heads, pooling: "cls", head });
  model.initializeHeads(1);
  const ema = encoder.parameters.like("ema");
  const average = offload.includes("average") ? new HostArena(ema, "ema") : ema;
  const globals = hostNormal(2 * microBatch * 3 * 224 * 224, { seed: 1, purpose: "global" });
  const locals = hostNormal(localViews * microBatch * 3 * localPixels ** 2, { seed: 2, purpose: "local" });
  const stage = new Stage(model, config, planStage(config, 3, 1000), 0, average, () => ({
    record: (program) => [
      program.input("global", [2 * microBatch, 3, 224, 224]),
      program.input("local", [localViews * microBatch, 3, localPixels, localPixels]),
    ],
    values: () => ({ global: globals, local: locals }),
  }));
  await stage.begin();
  stage.reset(0);
  const indices = Uint32Array.from({ length: batch }, (_, i) => i);
  let update = 0;
  return async () => {
    const { result } = await stage.run(
      { number: update, images: [], indices, labels: Int32Array.from(indices) },
      { update, total: update, epoch: 0 },
    );
    await result;
    for (const arena of Object.values(stage.arenas)) if (arena instanceof HostArena) await arena.settled();
    await on.idle();
    update++;
  };
}

async function timed(work: () => Promise<void>): Promise<{ readonly cpu: number; readonly wall: number }> {
  const [start, from] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(start);
  return { cpu: (user + system) / 1000, wall: performance.now() - from };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const pairs: [string, "f32" | "f16", Offload][] = [
  ["moments,average", "f32", ["moments", "average"]],
  ...(device.features.has("shader-f16")
    ? [["moments,average,weights", "f16", ["moments", "average", "weights"]] satisfies [string, "f16", Offload]]
    : []),
];
for (const [name, precision, offload] of pairs) {
  const [here, there] = [await training(device, [], precision), await training(device, offload, precision)];
  await here();
  await there(); // kernels compile with the first
  const ratios: { cpu: number; wall: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const first =
      round % 2 === 0 ? [await timed(here), await timed(there)] : [await timed(there), await timed(here)].reverse();
    const [plain, moved] = first;
    if (plain && moved) ratios.push({ cpu: moved.cpu / plain.cpu, wall: moved.wall / plain.wall });
    console.log(
      `${name}: ${plain?.cpu.toFixed(0)} ms on the device, ${moved?.cpu.toFixed(0)} ms with state on the host (processor)`,
    );
  }
  const cpus = ratios.map(({ cpu }) => cpu).sort((a, b) => a - b);
  console.log(
    `${precision} --offload ${name}: processor time ${median(cpus).toFixed(3)} (${cpus[0]?.toFixed(3)} … ${cpus.at(-1)?.toFixed(3)}), wall time ${median(ratios.map(({ wall }) => wall)).toFixed(3)}, medians of ${rounds} rounds`,
  );
}
device.close();
