import { Arena, type Outputs, recordProgram, type Tensor } from "../../engine/index.ts";
import type { ViewLayout } from "../methods/refine/contrastive_loss.ts";
import { headMetricNames } from "../methods/refine/contrastive_summary.ts";
import {
  ContrastiveHead,
  type HeadConfig,
  headCounters,
  headParameters,
  headStatistics,
} from "../methods/refine/head.ts";
import { NeighbourQueue } from "../methods/refine/queue.ts";
import { type GoldenCase, goldenBounds, type Json } from "./fixture.ts";
import { checkRanking } from "./ranking.ts";

/** One contrastive head: projections, neighbours, losses and gradients of both indexings, queue and BN state afterwards. */
export async function checkHead(golden: GoldenCase): Promise<void> {
  const variants = golden.json.get("variants");
  for (const variant of variants.keys()) {
    for (const indexing of variants.get(variant, "losses").keys())
      await checkVariant(golden, variant, variants.get(variant), indexing);
  }
}

async function checkVariant(golden: GoldenCase, variant: string, json: Json, indexing: string): Promise<void> {
  const { device } = golden;
  const head = await loadHead(golden, variant);
  const layout: ViewLayout = {
    batch: golden.shape(`${variant}/idx`)[0] ?? 1,
    globalViews: json.get("num_global_views").number(),
    localViews: json.get("num_local_views").number(),
    localIndexing: indexing === "official" ? "published" : "stated",
  };
  const anchors = layout.globalViews * layout.batch;
  const training = json.get("training").value === true;
  const topK = json.get("topk").number();
  const gradients = `${variant}/grads.${indexing}/`;
  const stored = golden.names(gradients).map((name) => name.slice(gradients.length));
  const choice = golden.has(`${variant}/nn.choice`)
    ? await golden.integers(`${variant}/nn.choice`)
    : new Array<number>(anchors).fill(0);
  const classes = device.tensor(Int32Array.from(await golden.integers(`${variant}/cls`)), [layout.batch], "i32");
  const samples = device.tensor(Int32Array.from(await golden.integers(`${variant}/idx`)), [layout.batch], "i32");
  const recorded = recordProgram<Outputs>(device, (p) => {
    const x = p.input("x", golden.shape(`${variant}/x`));
    const result = head.forward(x, {
      layout,
      training,
      topK,
      samples,
      classes,
      choice: device.tensor(Uint32Array.from(choice), [anchors], "u32"),
      temperature: json.get("temperature").number(),
      swap: golden.statedName.includes("allswap") ? "all" : "positives",
    });
    const targets = stored.map((name) => (name === "x" ? x : head.parameters.get(name)));
    const list = p.gradients(result.loss, targets);
    const { swapped, slots, indices, similarities } = result.neighbours;
    return {
      anchors: result.anchors,
      predicted: result.predicted,
      swapped,
      slots,
      indices,
      similarities,
      metrics: result.metrics,
      ...Object.fromEntries(list.map((gradient, i) => [`d${stored[i]}`, gradient])),
    };
  });
  const names = [
    "anchors",
    "predicted",
    "swapped",
    "slots",
    "indices",
    "similarities",
    "metrics",
    ...stored.map((name) => `d${name}`),
  ];
  const values = await (await recorded.run({ x: await golden.floats(`${variant}/x`) }, names)).read();
  const compare = async (name: string, key: string, bound: number): Promise<void> => {
    if (golden.has(`${variant}/${name}`)) await golden.compare(`${variant}/${name}`, values[key] ?? [], bound);
  };
  const isFirst = json.get("losses").keys()[0] === indexing;
  if (isFirst) {
    await compare("nn.topk_idx", "indices", goldenBounds.exact);
    await compare("nn.topk_sim", "similarities", goldenBounds.forward);
    await compare("nn.idx", "slots", goldenBounds.exact);
    await compare("projected_preswap", "anchors", goldenBounds.forward);
    // Stored before they are scaled to unit length.
    for (const name of ["projected_postswap", "projected"]) {
      if (!golden.has(`${variant}/${name}`)) continue;
      const expected = unitRows(await golden.floats(`${variant}/${name}`), head.queue.columns);
      golden.add(`${variant}/${name}`, values.swapped ?? [], expected, goldenBounds.forward);
    }
    await compare("predicted", "predicted", goldenBounds.forward);
    if (values.anchors) await checkRanking(golden, variant, json, values.anchors);
    await checkStateAfter(golden, variant, head);
    const [pointer = -1] = await head.queue.pointer.read();
    golden.addScalar(json.get("queue_ptr_after"), pointer, goldenBounds.exact);
    checkNumbers(golden, json.get("metrics"), neighbourNames, values.metrics ?? []);
  }
  for (const name of stored) await golden.compareGradient(gradients + name, values[`d${name}`] ?? []);
  checkNumbers(golden, json.get("losses", indexing), lossNames, values.metrics ?? []);
  recorded.destroy();
}

async function checkStateAfter(golden: GoldenCase, variant: string, head: ContrastiveHead): Promise<void> {
  const after = `${variant}/after/`;
  for (const stored of golden.names(after)) {
    const name = stored.slice(after.length);
    if (name.endsWith("num_batches_tracked")) {
      await golden.compare(stored, await head.batches.get(name).read(), goldenBounds.exact);
    } else if (isQueueName(name)) {
      await golden.compare(
        stored,
        await head.queue.state[name].read(),
        name === "queue.x" ? goldenBounds.forward : goldenBounds.exact,
      );
    } else await golden.compare(stored, await head.statistics.get(name).read(), goldenBounds.forward);
  }
}

function isQueueName(name: string): name is keyof NeighbourQueue["state"] {
  return /^queue\.(x|idx|cls|age|ptr)$/.test(name);
}

type MetricNames = Partial<Readonly<Record<(typeof headMetricNames)[number], string>>>;
const neighbourNames: MetricNames = { nnSimilarity: "nn-similarity", nnAge: "nn-age", nnAccuracy: "nn-accuracy" };
const lossNames: MetricNames = {
  total: "total",
  globalLoss: "global_loss",
  globalAlignment: "global_alignment",
  localLoss: "local_loss",
  localAlignment: "local_alignment",
};

/** Compares the metrics that have a stored name. */
function checkNumbers(golden: GoldenCase, json: Json, names: MetricNames, metrics: ArrayLike<number>): void {
  headMetricNames.forEach((name, i) => {
    const stored = names[name];
    if (stored !== undefined && json.has(stored))
      golden.addScalar(json.get(stored), metrics[i] ?? Number.NaN, goldenBounds.forward);
  });
}

/** Rows at unit length, in double precision. */
function unitRows(values: ArrayLike<number>, columns: number): Float64Array {
  const result = Float64Array.from(values);
  for (let from = 0; from < result.length; from += columns) {
    const row = result.subarray(from, from + columns);
    const length = Math.hypot(...row);
    row.forEach((value, c) => {
      row[c] = value / length;
    });
  }
  return result;
}

async function loadHead(golden: GoldenCase, variant: string): Promise<ContrastiveHead> {
  const hyper = golden.json.get("hyper");
  const config: HeadConfig = {
    inputWidth: hyper.get("input_dim").number(),
    projectorWidth: hyper.get("proj_hidden_dim").number(),
    predictorWidth: hyper.get("pred_hidden_dim").number(),
    outputWidth: hyper.get("output_dim").number(),
    queueLength: hyper.get("queue_size").number(),
    projectorHiddenLayers: hyper.get("proj_hidden_layers").number(),
    predictorHiddenLayers: hyper.get("pred_hidden_layers").number(),
  };
  const { device } = golden;
  const head = new ContrastiveHead(
    config,
    new Arena(device, "head", headParameters(config)),
    new Arena(device, "head statistics", headStatistics(config)),
    new Arena(device, "head counters", headCounters(config), "u32"),
    new NeighbourQueue(device, config.queueLength, config.outputWidth),
  );
  const before = `${variant}/before/`;
  for (const stored of golden.names(before)) {
    const name = stored.slice(before.length);
    if (isQueueName(name)) await writeQueue(golden, head.queue.state[name], stored);
    else if (head.parameters.has(name)) device.write(head.parameters.get(name), await golden.floats(stored));
    else if (head.statistics.has(name)) device.write(head.statistics.get(name), await golden.floats(stored));
    else device.write(head.batches.get(name), Uint32Array.from(await golden.integers(stored)));
  }
  return head;
}

/** Queue state from a stored tensor of floats or integers. */
export async function writeQueue(golden: GoldenCase, target: Tensor, stored: string): Promise<void> {
  if (target.dtype === "f32") golden.device.write(target, await golden.floats(stored));
  else if (target.dtype === "u32") golden.device.write(target, Uint32Array.from(await golden.integers(stored)));
  else golden.device.write(target, Int32Array.from(await golden.integers(stored)));
}
