import { recordProgram } from "../../../engine/index.ts";
import { poolingOf } from "../../evaluation/features/feature_pooling.ts";
import { probeRateAt } from "../../evaluation/probes/linear_probe_method.ts";
import { type ProbeGrid, type ProbeHead, probeGrid } from "../../evaluation/probes/probe_grid.ts";
import { ProbeHeads } from "../../evaluation/probes/probe_heads.ts";
import { ProbeLayout, ProbeRows } from "../../evaluation/probes/probe_rows.ts";
import { peakLearningRate } from "../../training/schedule.ts";
import type { GoldenCase, GoldenCheck } from "../fixture.ts";
import { bounds, compareAbsolute, headsOf, type Probe, storedFeature, storedName } from "./probe_case.ts";
import { compareScores, type EpochScores, scoresOf } from "./probe_scores.ts";

/** Linear probe: the grid of 52 heads over all updates, its gradients, running estimates, logits and what it gets right. */
export const linearProbeCase: GoldenCheck = {
  run: checkLinearProbe,
  inputs: {
    tensors: /^((train|test)\/(blocks|final|labels)|order|initial\/.*)$/,
    keys: /^(num_classes|batch_size|epochs|updates_per_epoch|lr_scale_batch|momentum|weight_decay|end_lr|warmup_percent|head_names|heads\..*)$/,
    remarks: /^note$/,
  },
};

async function checkLinearProbe(golden: GoldenCase): Promise<void> {
  const { json } = golden;
  json.expect({ momentum: 0.9, weight_decay: 0, end_lr: 1e-6, warmup_percent: 0.1 });
  const [, blocks = 0, , width = 0] = golden.shape("train/blocks");
  const grid = probeGrid({ width, classTokens: 1, blocks });
  json.expect({ head_names: grid.heads.map((head) => storedName(grid, head)) });
  for (const head of grid.heads) expectHead(golden, grid, head);
  const number = (key: string): number => json.get(key).number();
  const classes = number("num_classes");
  const heads = new ProbeHeads(golden.device, grid, classes);
  const probe: Probe = {
    golden,
    grid,
    heads,
    classes,
    batch: number("batch_size"),
    epochs: number("epochs"),
    updatesPerEpoch: number("updates_per_epoch"),
    rateBatch: number("lr_scale_batch"),
  };
  try {
    heads.initialise(0);
    await loadStart(probe);
    const correct = await train(probe);
    await compareState(probe);
    compareScores(probe, correct);
  } finally {
    heads.destroy();
  }
}

function expectHead({ json }: GoldenCase, grid: ProbeGrid, head: ProbeHead): void {
  const [from = 0, to = 0] = grid.features[head.feature]?.columns ?? [];
  json.get("heads", storedName(grid, head)).expect({
    lr: grid.rates[head.rate],
    features: storedFeature(grid, head.feature),
    input_dim: to - from,
  });
}

async function loadStart({ golden, grid, heads }: Probe): Promise<void> {
  for (const feature of grid.features.keys()) {
    const layer = heads.layer(feature);
    const stored = async (what: "weight" | "bias"): Promise<number[]> => {
      const values: number[] = [];
      for (const head of headsOf(grid, feature))
        values.push(...(await golden.floats(`initial/${storedName(grid, head)}/${what}`)));
      return values;
    };
    for (const what of ["weight", "bias"] as const)
      if (layer) golden.device.write(layer[what], Float32Array.from(await stored(what)));
  }
}

/** The sources of one side, pooled on the device. */
async function rowsOf({ golden, grid }: Probe, side: "train" | "test"): Promise<ProbeRows> {
  const [images = 0, blocks = 0, tokens = 0, width = 0] = golden.shape(`${side}/blocks`);
  const raw = await golden.floats(`${side}/blocks`);
  const blockOf = (block: number) =>
    Float32Array.from({ length: images * tokens * width }, (_, i) => {
      const image = Math.floor(i / (tokens * width));
      return raw[(image * blocks + block) * tokens * width + (i % (tokens * width))] ?? Number.NaN;
    });
  const program = recordProgram(
    golden.device,
    (p) => {
      const rows = p.input("rows", [images * tokens, width]);
      const segment = { batch: images, tokens, firstRow: 0, rows: 1, columns: tokens - 1 };
      return { pooled: poolingOf(p, { rows, segments: [segment], taps: new Map() }, "cls+avg", 1)(rows) };
    },
    { inference: true },
  );
  const features: Float32Array[] = [];
  for (const rows of [
    ...Array.from({ length: blocks }, (_, block) => blockOf(block)),
    await golden.floats(`${side}/final`),
  ])
    features.push(Float32Array.from((await (await program.run({ rows }, ["pooled"])).read()).pooled));
  program.destroy();
  const kept = new ProbeRows(grid);
  kept.append(new ProbeLayout(grid, 2 * width, 2).arrange(features, images), images);
  return kept;
}

/** Makes all updates. */
async function train(probe: Probe): Promise<readonly EpochScores[]> {
  const { golden, grid, heads, batch, epochs, updatesPerEpoch, rateBatch } = probe;
  const [rows, test] = [await rowsOf(probe, "train"), await rowsOf(probe, "test")];
  const labels = await golden.integers("train/labels");
  const order = await golden.integers("order");
  const updates = epochs * updatesPerEpoch;
  const peaks = grid.rates.map((rate) => peakLearningRate(rate, rateBatch));
  const last = golden.json.get("learning_rate_of_last_head");
  const lastRates = Array.from({ length: updates }, (_, update) => probeRateAt(peaks.at(-1) ?? 0, updates, update));
  golden.add(last.path, lastRates, last.numbers(), bounds.rate);
  const step = heads.recordUpdate(batch, { gradients: true });
  const names = Object.keys(step.outputs);
  const losses: number[] = [];
  const found: EpochScores[] = [];
  for (let update = 0; update < updates; update++) {
    const indices = order.slice(update * batch, (update + 1) * batch);
    const inputs = {
      ...Object.fromEntries(await rows.gather(indices)),
      targets: Uint32Array.from(indices.flatMap((index) => grid.rates.map(() => labels[index] ?? 0))),
      rates: Float32Array.from(peaks, (peak) => probeRateAt(peak, updates, update)),
    };
    const values = await (await step.run(inputs, names)).read();
    if (update === 0) await compareGradients(probe, values);
    for (const { feature, rate } of grid.heads) losses.push(Number(values[`losses ${feature}`]?.[rate]));
    if ((update + 1) % updatesPerEpoch === 0) found.push(await scoresOf(probe, test, found.length + 1 === epochs));
  }
  step.destroy();
  await compareAbsolute(golden, "losses", losses, bounds.losses);
  return found;
}

async function compareGradients({ golden, grid, classes }: Probe, values: Readonly<Record<string, ArrayLike<number>>>) {
  for (const head of grid.heads) {
    for (const what of ["weight", "bias"] as const) {
      const name = `grads.0/${storedName(grid, head)}/${what}`;
      if (!golden.has(name)) continue;
      const all = Float32Array.from(values[`${what} gradient ${head.feature}`] ?? []);
      await compareAbsolute(golden, name, headPart(grid, head, all, classes), bounds.gradients);
    }
  }
}

/** The values of one head within those of its feature. */
function headPart({ rates }: ProbeGrid, { rate }: ProbeHead, all: Float32Array, classes: number): Float32Array {
  const size = all.length / rates.length;
  if (size % classes !== 0) throw new RangeError(`linear probe: ${size} values are not those of ${classes} classes`);
  return all.subarray(rate * size, (rate + 1) * size);
}

/** Weights and running estimates after the last update. */
async function compareState({ golden, grid, heads, epochs, updatesPerEpoch }: Probe): Promise<void> {
  for (const head of grid.heads) {
    const { weight, bias } = await heads.trained(head);
    for (const [what, values] of Object.entries({ weight, bias }))
      await compareAbsolute(golden, `final/${storedName(grid, head)}/${what}`, values, bounds.weights);
  }
  for (const feature of grid.features.keys()) {
    const [first] = headsOf(grid, feature);
    const name = `batch_norm/${storedFeature(grid, feature)}`;
    if (!first) continue;
    const { mean, variance } = await heads.trained(first);
    for (const [what, values] of Object.entries({ running_mean: mean, running_var: variance })) {
      const largest = (await golden.floats(`${name}/${what}`)).reduce(
        (most, value) => Math.max(most, Math.abs(value)),
        1,
      );
      await compareAbsolute(golden, `${name}/${what}`, values, bounds.batchNorm * largest);
    }
    const { source } = grid.features[feature] ?? {};
    const batches = source && (await heads.statistics(source)?.batches.read());
    await golden.compare(`${name}/num_batches_tracked`, batches ?? [epochs * updatesPerEpoch + 1], 0);
  }
}
