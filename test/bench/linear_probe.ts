/**
 * Updates of the linear probe's grid of 52 heads against the same kernels with one head per pass and against TensorFlow.js (WebGPU)
 * with the same batched grid: batch 1024, width 384, 10 classes, cached features of the last four blocks. All take turns; medians of
 * wall time and of the process's CPU time. The losses of the three are compared first.
 *
 *   npm run bench -- linear_probe [rounds] [batch] [width] [classes]
 */
import process from "node:process";
import { hostNormal, hostUniform, openDevice } from "../../engine/index.ts";
import { type ProbeGrid, probeGrid } from "../../refiner/evaluation/index.ts";
import { ProbeHeads } from "../../refiner/evaluation/probes/probe_heads.ts";
import { ProbeRows } from "../../refiner/evaluation/probes/probe_rows.ts";
import { inTurns, openRival } from "./rivals/turns.mjs";

const [rounds = 5, batch = 1024, width = 384, classes = 10] = process.argv.slice(2).map(Number);
const device = await openDevice({ notice: () => {} });
const grid = probeGrid({ width, classTokens: 1, blocks: 12 });
const images = 2 * batch;
const rows = new ProbeRows(grid);
const sources = [...grid.sources].map(([source, columns]): [typeof source, Float32Array] => [
  source,
  hostNormal(images * columns, { seed: 1, purpose: source }),
]);
rows.append(new Map(sources), images);
const labels = hostUniform(images, { seed: 1, purpose: "labels" }).map((value) => Math.floor(classes * value));

const indicesOf = (number: number): Uint32Array =>
  Uint32Array.from({ length: batch }, (_, i) => (i + number * 7) % images);

/** Heads of a grid with their recorded update. */
function prepared(part: ProbeGrid) {
  const heads = new ProbeHeads(device, part, classes);
  heads.initialise(0);
  const step = heads.recordUpdate(batch);
  const names = Object.keys(step.outputs);
  const update = async (number: number): Promise<number[]> => {
    const indices = indicesOf(number);
    const features = await rows.gather(indices);
    const inputs = {
      ...Object.fromEntries([...features].filter(([source]) => part.sources.has(source))),
      targets: Uint32Array.from(
        { length: batch * part.rates.length },
        (_, i) => labels[indices[Math.floor(i / part.rates.length)] ?? 0] ?? 0,
      ),
      rates: Float32Array.from(part.rates),
    };
    const losses = await (await step.run(inputs, names)).read();
    return names.flatMap((name) => [...(losses[name] ?? [])]);
  };
  return { heads, update, stats: step.stats };
}

/** One feature and one rate each; all features of the first rate, then those of the next one. */
const alone = grid.heads.map(({ feature, rate }) => {
  const one = grid.features[feature];
  const columns = one && grid.sources.get(one.source);
  if (!one || !columns) throw new RangeError(`no feature ${feature}`);
  return prepared({
    rates: [grid.rates[rate] ?? 0],
    features: [one],
    sources: new Map([[one.source, columns]]),
    heads: [{ name: one.name, feature: 0, rate: 0 }],
  });
});
const together = prepared(grid);

/** The rival's heads with the same start weights. */
async function rivalHeads() {
  const rival = await openRival(device.info.name);
  const features = [];
  for (const [index, { source, columns }] of grid.features.entries()) {
    const weight = await together.heads.layer(index)?.weight.read();
    const [outputs, inputs] = [grid.rates.length * classes, columns[1] - columns[0]];
    const at = (i: number): number => weight?.[(i % outputs) * inputs + Math.floor(i / outputs)] ?? Number.NaN;
    features.push({ source, columns, weight: Float32Array.from({ length: outputs * inputs }, (_, i) => at(i)) });
  }
  const heads = rival?.probe({ rates: grid.rates, classes, features });
  return (
    heads &&
    (async (number: number): Promise<number[]> => {
      const indices = indicesOf(number);
      const targets = Int32Array.from(indices, (index) => labels[index] ?? 0);
      const losses = [...(await heads.update(await rows.gather(indices), targets))];
      const [error] = rival?.errors ?? [];
      if (error !== undefined) throw new Error(`tfjs: the device reported: ${error}`);
      return losses;
    })
  );
}
const rival = await rivalHeads();

/** Relative, over all heads and three updates: the third shows the gradients and the momentum. */
async function difference(one: (number: number) => Promise<number[]>, other: (number: number) => Promise<number[]>) {
  let largest = 0;
  for (let update = 0; update < 3; update++) {
    const [these, those] = [await one(update), await other(update)];
    these.forEach((loss, i) => {
      largest = Math.max(largest, Math.abs(loss - (those[i] ?? Number.NaN)) / Math.abs(loss));
    });
  }
  return largest;
}

console.log(
  `adapter: ${device.info.name}; batch ${batch}, width ${width}, ${classes} classes; medians of ${rounds} rounds in turns`,
);
if (rival) {
  const largest = await difference(together.update, rival);
  console.log(
    `losses of ${grid.heads.length} heads in three updates differ from tfjs's by at most ${largest.toExponential(1)} of each`,
  );
  if (!(largest < 0.01)) throw new Error("tfjs does other work: its losses differ");
}
const rivals = rival && {
  "tfjs, batched grid": async (round: number) => {
    await rival(round);
  },
};
await inTurns(
  {
    "52 heads in one pass": async (round: number) => {
      await together.update(round);
    },
    "one head per pass": async (round: number) => {
      for (const { update } of alone) await update(round);
    },
    ...rivals,
  },
  rounds,
);
console.log(
  `${together.stats.dispatches} dispatches against ${alone.reduce((sum, { stats }) => sum + stats.dispatches, 0)} of one head per pass`,
);
process.exit(); // a rival's device is not closed
