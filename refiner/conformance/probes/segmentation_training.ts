import type { HostArray } from "../../../engine/index.ts";
import type { LabelMap } from "../../data/masks/label_map.ts";
import { probeRateAt } from "../../evaluation/probes/linear_probe_method.ts";
import type { ProbeGrid, ProbeHead } from "../../evaluation/probes/probe_grid.ts";
import { ProbeHeads, type SourceRecording } from "../../evaluation/probes/probe_heads.ts";
import { addPixels, emptyConfusion } from "../../evaluation/segmentation/intersection.ts";
import { type PatchBatch, patchLoss, patchTargets } from "../../evaluation/segmentation/patch_loss.ts";
import { patchRows, segmentationBlocks, segmentationGrid } from "../../evaluation/segmentation/segmentation_grid.ts";
import { WindowPlan } from "../../evaluation/segmentation/windows.ts";
import { peakLearningRate } from "../../training/schedule.ts";
import type { GoldenCase } from "../fixture.ts";
import { compareAbsolute, headsOf } from "./probe_case.ts";
import { compareIntersection, labelMap } from "./segmentation_scores.ts";

const bounds = { losses: 5e-6, gradients: 5e-6, weights: 1e-5, batchNorm: 1e-5, logits: 2e-5, rate: 1e-12 } as const;

/** Sizes of the case, and its parts under test. */
interface Probe {
  readonly golden: GoldenCase;
  readonly grid: ProbeGrid;
  readonly heads: ProbeHeads;
  readonly batch: PatchBatch;
  /** Pixels of an image. */
  readonly height: number;
  readonly width: number;
}

const featureNames: Readonly<Record<string, string>> = { patch: "img", "cls+patch": "imgcls" };

function storedFeature(grid: ProbeGrid, feature: number): string {
  return featureNames[grid.features[feature]?.name ?? ""] ?? "";
}

/** `patch, rate 0.001` is `lr0001_img_last4`. */
function storedName(grid: ProbeGrid, { feature, rate }: ProbeHead): string {
  const decimals = String(grid.rates[rate]).replace(".", "");
  return `lr${decimals}_${storedFeature(grid, feature)}_last4`;
}

/** All updates of the grid, its state after them, and what it says of the test images. */
export async function compareTraining(golden: GoldenCase): Promise<void> {
  const { json, device } = golden;
  const number = (key: string): number => json.get(key).number();
  const vit = { width: number("dim"), classTokens: 1, blocks: number("encoder_blocks") };
  json.expect({ blocks_used: segmentationBlocks(vit) });
  const grid = segmentationGrid(vit);
  json.expect({ head_names: grid.heads.map((head) => storedName(grid, head)) });
  for (const head of grid.heads) expectHead(golden, grid, head);
  const [rows = 1, columns = 1] = json.get("grid").numbers();
  const classes = number("num_classes");
  const heads = new ProbeHeads(device, grid, classes);
  const patch = number("patch_size");
  const batch = { images: number("batch_size"), rows, columns, classes, rates: grid.rates.length };
  const probe: Probe = { golden, grid, heads, batch, height: rows * patch, width: columns * patch };
  try {
    heads.initialise(0);
    await loadStart(probe);
    await train(probe);
    await compareState(probe);
    await test(probe);
  } finally {
    heads.destroy();
  }
}

function expectHead({ json }: GoldenCase, grid: ProbeGrid, head: ProbeHead): void {
  const [from = 0, to = 0] = grid.features[head.feature]?.columns ?? [];
  json.get("heads", storedName(grid, head)).expect({
    lr: grid.rates[head.rate],
    features: storedFeature(grid, head.feature) === "img" ? "patches" : "class token and patches",
    input_dim: to - from,
  });
}

async function loadStart({ golden, grid, heads }: Probe): Promise<void> {
  for (const feature of grid.features.keys()) {
    const layer = heads.layer(feature);
    for (const what of ["weight", "bias"] as const) {
      const values: number[] = [];
      for (const head of headsOf(grid, feature))
        values.push(...(await golden.floats(`initial/${storedName(grid, head)}/${what}`)));
      if (layer) golden.device.write(layer[what], Float32Array.from(values));
    }
  }
}

/** Rows of patches from stored blocks `[images, 4, tokens, width]`, by the function that the probe uses on an encoder's. */
function sourceOf({ golden, batch }: Probe): SourceRecording {
  const [, , blocks = 0, tokens = 0, width = 0] = golden.shape("train/blocks");
  return {
    source: (p) =>
      patchRows(
        Array.from({ length: blocks }, (_, block) => p.input(`block ${block}`, [batch.images, tokens, width])),
        1,
      ),
  };
}

/** Stored blocks as inputs. */
function blocksOf({ golden, batch }: Probe, stored: ArrayLike<number>): Record<string, Float32Array> {
  const [, , blocks = 0, tokens = 0, width = 0] = golden.shape("train/blocks");
  const size = tokens * width;
  const part = (block: number) =>
    Float32Array.from({ length: batch.images * size }, (_, i) => {
      const image = Math.floor(i / size);
      return stored[(image * blocks + block) * size + (i % size)] ?? Number.NaN;
    });
  return Object.fromEntries(Array.from({ length: blocks }, (_, block) => [`block ${block}`, part(block)]));
}

function mapsOf({ batch, height, width }: Probe, labels: readonly number[]): LabelMap[] {
  const pixels = height * width;
  return Array.from({ length: batch.images }, (_, i) =>
    labelMap(labels.slice(i * pixels, (i + 1) * pixels), height, width),
  );
}

async function train(probe: Probe): Promise<void> {
  const { golden, grid, heads, batch, height, width } = probe;
  const { json } = golden;
  const [updates = 0] = golden.shape("losses");
  const blocks = await golden.floats("train/blocks");
  const labels = await golden.integers("train/labels");
  const perUpdate = blocks.length / updates;
  const pixels = batch.images * height * width;
  const peaks = grid.rates.map((rate) => peakLearningRate(rate, json.get("lr_scale_batch").number()));
  const last = json.get("learning_rate_of_last_head");
  const lastRates = Array.from({ length: updates }, (_, update) => probeRateAt(peaks.at(-1) ?? 0, updates, update));
  golden.add(last.path, lastRates, last.numbers(), bounds.rate);
  const step = heads.recordUpdate(batch.images * batch.rows * batch.columns, {
    ...sourceOf(probe),
    gradients: true,
    loss: (p) => patchLoss(p, batch),
  });
  const names = Object.keys(step.outputs);
  const losses: number[] = [];
  for (let update = 0; update < updates; update++) {
    const maps = mapsOf(probe, labels.slice(update * pixels, (update + 1) * pixels));
    const inputs = {
      ...blocksOf(probe, blocks.subarray(update * perUpdate, (update + 1) * perUpdate)),
      ...patchTargets(maps, batch),
      rates: Float32Array.from(peaks, (peak) => probeRateAt(peak, updates, update)),
    };
    const values = await (await step.run(inputs, names)).read();
    if (update === 0) await compareFirst(probe, values);
    for (const { feature, rate } of grid.heads) losses.push(Number(values[`losses ${feature}`]?.[rate]));
  }
  step.destroy();
  await compareAbsolute(golden, "losses", losses, bounds.losses);
}

/** Logits and gradients of the first update. */
async function compareFirst(probe: Probe, values: Readonly<Record<string, HostArray>>): Promise<void> {
  const { golden, grid } = probe;
  for (const head of grid.heads) {
    const name = storedName(grid, head);
    if (!golden.has(`step.0/logits/${name}`)) continue;
    const logits = upSampled(probe, values[`logits ${head.feature}`] ?? [], head);
    await compareAbsolute(golden, `step.0/logits/${name}`, logits, bounds.logits);
    for (const what of ["weight", "bias"] as const) {
      const all = Float32Array.from(values[`${what} gradient ${head.feature}`] ?? []);
      const size = all.length / grid.rates.length;
      const own = all.subarray(head.rate * size, (head.rate + 1) * size);
      await compareAbsolute(golden, `step.0/grads/${name}/${what}`, own, bounds.gradients);
    }
  }
}

/** One window per image, of its size. */
function wholeImage({ batch, height, width }: Probe): WindowPlan {
  const size = { heightPixels: height, widthPixels: width, strideRows: height, strideColumns: width };
  return new WindowPlan(height, width, { ...size, rows: batch.rows, columns: batch.columns });
}

function logitsOf({ batch }: Probe, all: ArrayLike<number>, head: ProbeHead, image: number) {
  const perImage = all.length / batch.images;
  const values = Float32Array.from({ length: perImage }, (_, i) => all[image * perImage + i] ?? Number.NaN);
  return { values, heads: batch.rates, head: head.rate, classes: batch.classes };
}

/** Logits of one head as `[images, classes, height, width]`. */
function upSampled(probe: Probe, all: ArrayLike<number>, head: ProbeHead): number[] {
  const { images, classes } = probe.batch;
  const plan = wholeImage(probe);
  const cells = plan.cellOfPixels();
  const values: number[] = [];
  for (let image = 0; image < images; image++) {
    const means = plan.average(logitsOf(probe, all, head, image));
    for (let c = 0; c < classes; c++) for (const cell of cells) values.push(means[cell * classes + c] ?? Number.NaN);
  }
  return values;
}

/** Weights and running estimates after the last update. */
async function compareState({ golden, grid, heads }: Probe): Promise<void> {
  for (const head of grid.heads) {
    const { weight, bias } = await heads.trained(head);
    for (const [what, values] of Object.entries({ weight, bias }))
      await compareAbsolute(golden, `final/${storedName(grid, head)}/${what}`, values, bounds.weights);
  }
  const batches = await heads.statistics("every4")?.batches.read();
  for (const feature of grid.features.keys()) {
    const [first] = headsOf(grid, feature);
    if (!first) continue;
    const name = `batch_norm/${storedFeature(grid, feature)}`;
    const { mean, variance } = await heads.trained(first);
    for (const [what, values] of Object.entries({ running_mean: mean, running_var: variance })) {
      const stored = await golden.floats(`${name}/${what}`);
      const largest = stored.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      await compareAbsolute(golden, `${name}/${what}`, values, bounds.batchNorm * largest);
    }
    await golden.compare(`${name}/num_batches_tracked`, batches ?? [], 0);
  }
}

/** What all heads say of the test images: logits, tables, scores. */
async function test(probe: Probe): Promise<void> {
  const { golden, grid, heads, batch } = probe;
  const rows = batch.images * batch.rows * batch.columns;
  const program = heads.recordPredictions(rows, { ...sourceOf(probe), logits: true });
  const inputs = blocksOf(probe, await golden.floats("test/blocks"));
  const values = await (await program.run(inputs, Object.keys(program.outputs))).read();
  program.destroy();
  const maps = mapsOf(probe, await golden.integers("test/labels"));
  const plan = wholeImage(probe);
  const cells = plan.cellOfPixels();
  for (const head of grid.heads) {
    const name = storedName(grid, head);
    const all = values[`logits ${head.feature}`] ?? [];
    if (golden.has(`test/logits/${name}`))
      await compareAbsolute(golden, `test/logits/${name}`, upSampled(probe, all, head), bounds.logits);
    const table = emptyConfusion(batch.classes);
    for (const [image, map] of maps.entries())
      addPixels(table, map.data, plan.classes(logitsOf(probe, all, head, image)), cells);
    await golden.compare(`test/confusion/${name}`, table.counts, 0);
    compareIntersection(golden, golden.json.get("test_metrics", name), table);
  }
}
