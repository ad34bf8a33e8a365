/**
 * Updates of the linear probe's grid of 52 heads against the same kernels with one head per pass: batch 1024, width 384, 10 classes,
 * cached features. Both take turns; medians of wall time and of the process's CPU time.
 *
 *   npm run bench -- linear_probe [rounds] [batch] [width] [classes]
 */
import process from "node:process";
import { hostNormal, hostUniform, openDevice } from "../../engine/index.ts";
import { type ProbeGrid, probeGrid } from "../../refiner/evaluation/index.ts";
import { ProbeHeads } from "../../refiner/evaluation/probes/probe_heads.ts";
import { ProbeRows } from "../../refiner/evaluation/probes/probe_rows.ts";

const [rounds = 5, batch = 1024, width = 384, classes = 10] = process.argv.slice(2).map(Number);
const device = await openDevice();
const grid = probeGrid({ width, classTokens: 1, blocks: 12 });
const images = 2 * batch;
const rows = new ProbeRows(grid);
const sources = [...grid.sources].map(([source, columns]): [typeof source, Float32Array] => [
  source,
  hostNormal(images * columns, { seed: 1, purpose: source }),
]);
rows.append(new Map(sources), images);
const labels = hostUniform(images, { seed: 1, purpose: "labels" }).map((value) => Math.floor(classes * value));

/** Heads of a grid with their recorded update. */
function prepared(part: ProbeGrid) {
  const heads = new ProbeHeads(device, part, classes);
  heads.initialise(0);
  const step = heads.recordUpdate(batch);
  const update = async (number: number): Promise<void> => {
    const indices = Uint32Array.from({ length: batch }, (_, i) => (i + number * 7) % images);
    const features = await rows.gather(indices);
    const inputs = {
      ...Object.fromEntries([...features].filter(([source]) => part.sources.has(source))),
      targets: Uint32Array.from(
        { length: batch * part.rates.length },
        (_, i) => labels[indices[Math.floor(i / part.rates.length)] ?? 0] ?? 0,
      ),
      rates: Float32Array.from(part.rates),
    };
    await (await step.run(inputs, Object.keys(step.outputs))).read();
  };
  return { update, stats: step.stats };
}

/** One feature and one rate each. */
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

async function timed(work: () => Promise<void>) {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { wall: performance.now() - start, cpu: (user + system) / 1000 };
}

const contestants = {
  "52 heads in one pass": (round: number) => together.update(round),
  "one head per pass": async (round: number) => {
    for (const { update } of alone) await update(round);
  },
};
const times = new Map(Object.keys(contestants).map((name) => [name, [] as { wall: number; cpu: number }[]]));
for (let round = -1; round < rounds; round++)
  for (const [name, work] of Object.entries(contestants)) {
    const time = await timed(() => work(round + 1));
    if (round >= 0) times.get(name)?.push(time);
  }
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
console.log(
  `adapter: ${device.info.name}; batch ${batch}, width ${width}, ${classes} classes; medians of ${rounds} rounds in turns`,
);
for (const [name, list] of times)
  console.log(
    `${name.padEnd(22)} ${median(list.map(({ wall }) => wall)).toFixed(0)} ms wall, ${median(list.map(({ cpu }) => cpu)).toFixed(0)} ms CPU per update`,
  );
const [first = [], second = []] = [...times.values()];
const ratio = (key: "wall" | "cpu") => median(first.map((time, i) => (second[i]?.[key] ?? Number.NaN) / time[key]));
console.log(`median ratio: ${ratio("wall").toFixed(2)} wall, ${ratio("cpu").toFixed(2)} CPU`);
console.log(
  `${together.stats.dispatches} dispatches against ${alone.reduce((sum, { stats }) => sum + stats.dispatches, 0)}`,
);
device.close();
