import { type HostArray, type Outputs, type RecordedProgram, recordProgram, type Tensor } from "../../engine/index.ts";
import type { ViewLayout } from "../methods/refine/contrastive_loss.ts";
import type { ContrastiveHead, HeadResult } from "../methods/refine/head.ts";
import { type HeadMetrics, readHeadMetrics } from "../methods/refine/head_metrics.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import { checkStateAfter, loadHead } from "./head_state.ts";
import type { Json } from "./json.ts";
import { checkRanking } from "./ranking.ts";

/** One contrastive head: projections, neighbours, losses and gradients of both indexings, queue and BN state afterwards. */
export const headCase: GoldenCheck = {
  run: checkHead,
  inputs: {
    tensors: /^[^/]+\/(before\/.+|x|idx|cls|nn\.choice)$/,
    keys: /^(hyper\..+|variants\.[^.]+\.(topk|num_global_views|num_local_views|training|queue_ptr_before|temperature))$/,
  },
};

/** One call of a head: a variant of the case with one of its two indexings. */
interface HeadCall {
  readonly variant: string;
  readonly indexing: string;
  readonly json: Json;
  readonly layout: ViewLayout;
  /** Names of the parameters, and `x`, whose gradients are stored. */
  readonly gradients: readonly string[];
}

async function checkHead(golden: GoldenCase): Promise<void> {
  const hyper = golden.json.get("hyper");
  hyper.expect({
    norm: "batchnorm1d",
    batchnorm_eps: 1e-5,
    batchnorm_momentum: 0.1,
    normalize_eps: 1e-12,
    gelu: "erf",
  });
  const variants = golden.json.get("variants");
  for (const variant of variants.keys()) {
    const json = variants.get(variant);
    for (const [place, indexing] of json.get("losses").keys().entries()) {
      const call = callOf(golden, variant, json, indexing);
      hyper.expect({ batch_size: call.layout.batch });
      await checkCall(golden, call, place === 0);
    }
  }
}

function callOf(golden: GoldenCase, variant: string, json: Json, indexing: string): HeadCall {
  const prefix = `${variant}/grads.${indexing}/`;
  return {
    variant,
    indexing,
    json,
    layout: {
      batch: golden.shape(`${variant}/idx`)[0] ?? 1,
      globalViews: json.get("num_global_views").number(),
      localViews: json.get("num_local_views").number(),
      localIndexing: indexing === "official" ? "published" : "stated",
    },
    gradients: golden.names(prefix).map((name) => name.slice(prefix.length)),
  };
}

/** @param isFirst - whether what the indexing does not change is compared, too */
async function checkCall(golden: GoldenCase, call: HeadCall, isFirst: boolean): Promise<void> {
  const { variant, indexing, json, gradients } = call;
  const head = await loadHead(golden, variant);
  const [pointer] = await head.queue.pointer.read();
  json.expect({ queue_ptr_before: pointer });
  const recorded = await recordCall(golden, head, call);
  const inputs = { x: await golden.floats(`${variant}/x`) };
  const values = await (await recorded.run(inputs, Object.keys(recorded.outputs))).read();
  recorded.destroy();
  const metrics = readHeadMetrics([variant], values.metrics ?? [])[variant];
  if (isFirst) {
    await checkOutputs(golden, head, variant, values);
    if (values.anchors) await checkRanking(golden, variant, json, values.anchors);
    await checkStateAfter(golden, variant, head);
    const [after = -1] = await head.queue.pointer.read();
    golden.addScalar(json.get("queue_ptr_after"), after, goldenBounds.exact);
    checkNumbers(golden, json.get("metrics"), neighbourNames, metrics);
  }
  for (const name of gradients)
    await golden.compareGradient(`${variant}/grads.${indexing}/${name}`, values[`d${name}`] ?? []);
  checkNumbers(golden, json.get("losses", indexing), lossNames, metrics);
}

async function recordCall(
  golden: GoldenCase,
  head: ContrastiveHead,
  { variant, json, layout, gradients }: HeadCall,
): Promise<RecordedProgram<Outputs>> {
  const { device } = golden;
  const anchors = layout.globalViews * layout.batch;
  const ranks = golden.has(`${variant}/nn.choice`) ? await golden.integers(`${variant}/nn.choice`) : [];
  const integers = async (name: string): Promise<Tensor> =>
    device.tensor(Int32Array.from(await golden.integers(`${variant}/${name}`)), [layout.batch], "i32");
  const [samples, classes] = [await integers("idx"), await integers("cls")];
  return recordProgram<Outputs>(device, (p) => {
    const x = p.input("x", golden.shape(`${variant}/x`));
    const result = head.forward(x, {
      layout,
      training: json.get("training").value === true,
      topK: json.get("topk").number(),
      samples,
      classes,
      choice: device.tensor(
        Uint32Array.from({ length: anchors }, (_, row) => ranks[row] ?? 0),
        [anchors],
        "u32",
      ),
      temperature: json.get("temperature").number(),
      swap: golden.statedName.includes("allswap") ? "all" : "positives",
    });
    const targets = gradients.map((name) => (name === "x" ? x : head.parameters.get(name)));
    const list = p.gradients(result.loss, targets);
    return { ...outputsOf(result), ...Object.fromEntries(list.map((gradient, i) => [`d${gradients[i]}`, gradient])) };
  });
}

function outputsOf({ anchors, predicted, metrics, neighbours }: HeadResult): Outputs {
  const { swapped, slots, indices, similarities } = neighbours;
  return { anchors, predicted, swapped, slots, indices, similarities, metrics };
}

/** Projections, predictions and neighbours. */
async function checkOutputs(
  golden: GoldenCase,
  head: ContrastiveHead,
  variant: string,
  values: Readonly<Record<string, HostArray>>,
): Promise<void> {
  const compare = async (name: string, key: string, bound: number): Promise<void> => {
    if (golden.has(`${variant}/${name}`)) await golden.compare(`${variant}/${name}`, values[key] ?? [], bound);
  };
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
}

type MetricNames = Partial<Readonly<Record<keyof HeadMetrics, string>>>;
const neighbourNames: MetricNames = { nnSimilarity: "nn-similarity", nnAge: "nn-age", nnAccuracy: "nn-accuracy" };
const lossNames: MetricNames = {
  loss: "total",
  globalLoss: "global_loss",
  globalAlignment: "global_alignment",
  localLoss: "local_loss",
  localAlignment: "local_alignment",
};

/** Compares the metrics that have a stored name. */
function checkNumbers(golden: GoldenCase, json: Json, names: MetricNames, metrics: HeadMetrics | undefined): void {
  for (const [name, actual] of Object.entries(metrics ?? {})) {
    const stored = Object.entries(names).find(([known]) => known === name)?.[1];
    if (stored !== undefined) golden.addScalar(json.get(stored), actual, goldenBounds.forward);
  }
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
