import type { ProbeGrid, ProbeHead } from "../probes/probe_grid.ts";
import { readProbeHead } from "../probes/probe_head_file.ts";
import { ProbeHeads } from "../probes/probe_heads.ts";
import { type IntersectionScores, intersectionScores, type PixelConfusion } from "./intersection.ts";
import type { SegmentationMethod } from "./segmentation_method.ts";
import { bestSegmentation, type SegmentationChoice, type SegmentationScores } from "./segmentation_scores.ts";
import { WindowTest, type WindowTestOptions } from "./window_test.ts";

/** A head at some epoch with its mean intersection over union, 0 … 1. */
export interface SegmentationHeadResult {
  readonly head: ProbeHead;
  readonly rate: number;
  readonly feature: string;
  readonly epoch: number;
  /** On the held-out training images, where there are any. */
  readonly heldOut?: number;
  readonly test: number;
}

export interface SegmentationResult {
  readonly finished: boolean;
  readonly updates: number;
  readonly heads: readonly ProbeHead[];
  readonly classes: number;
  /** Images that were trained on, held out, and tested. */
  readonly images: { readonly train: number; readonly heldOut: number; readonly test: number };
  /** Per tested epoch. */
  readonly scores: readonly SegmentationScores[];
  /** Best head and epoch on the images that choose; absent before the first test. */
  readonly chosen?: SegmentationHeadResult;
  /** Best head of the last epoch on the images that choose; absent unless finished. */
  readonly lastEpoch?: SegmentationHeadResult;
  /** Largest on the test images over heads and tested epochs: what the publication reports. */
  readonly testMaximum?: SegmentationHeadResult;
  /** The chosen head on the test images; absent unless finished. */
  readonly test?: { readonly scores: IntersectionScores; readonly table: PixelConfusion };
}

/** What a probe found so far. @param finished - whether all epochs are over, so that the chosen head is final */
export async function segmentationOutcome(
  method: SegmentationMethod,
  finished: boolean,
  options: WindowTestOptions,
): Promise<Omit<SegmentationResult, "finished" | "updates">> {
  const { config, data, heads } = method;
  const { grid } = heads;
  const scores = [...method.scores.values()].sort((a, b) => a.epoch - b.epoch);
  const result = (choice: SegmentationChoice | undefined): SegmentationHeadResult | undefined => {
    const head = choice && grid.heads[choice.head];
    const found = choice && method.scores.get(choice.epoch);
    if (!head || !found) return undefined;
    const heldOut = found.heldOut?.[choice.head];
    return {
      head,
      rate: grid.rates[head.rate] ?? Number.NaN,
      feature: grid.features[head.feature]?.name ?? "",
      epoch: choice.epoch,
      ...(heldOut === undefined ? {} : { heldOut }),
      test: found.test[choice.head] ?? Number.NaN,
    };
  };
  const chosen = result(bestSegmentation(scores, config.select));
  const lastEpoch = finished ? result(bestSegmentation(scores.slice(-1), config.select)) : undefined;
  const testMaximum = result(bestSegmentation(scores, "test"));
  const table = finished && chosen ? await tested(method, chosen, options) : undefined;
  return {
    heads: grid.heads,
    classes: heads.classes,
    images: {
      train: data.train.images.length,
      heldOut: data.heldOut?.images.length ?? 0,
      test: data.test.images.length,
    },
    scores,
    ...(chosen ? { chosen } : {}),
    ...(lastEpoch ? { lastEpoch } : {}),
    ...(testMaximum ? { testMaximum } : {}),
    ...(table ? { test: { table, scores: intersectionScores(table) } } : {}),
  };
}

/** The chosen head, as it was at its epoch, on the test images. */
async function tested(
  { view, heads, store, data }: SegmentationMethod,
  { head, rate, epoch }: SegmentationHeadResult,
  options: WindowTestOptions,
): Promise<PixelConfusion | undefined> {
  const feature = heads.grid.features[head.feature];
  if (!feature) return undefined;
  const width = feature.columns[1] - feature.columns[0];
  const values = await readProbeHead(store, heads.classes, width, { head: head.name, epoch });
  const grid: ProbeGrid = {
    rates: [rate],
    features: [{ ...feature, columns: [0, width] }],
    sources: new Map([[feature.source, width]]),
    heads: [{ ...head, feature: 0, rate: 0 }],
  };
  const alone = new ProbeHeads(heads.device, grid, heads.classes);
  const layer = alone.layer(0);
  const statistics = alone.statistics(feature.source);
  const test = new WindowTest(view, alone, feature.columns);
  try {
    if (!layer || !statistics) return undefined;
    heads.device.write(layer.weight, values.weight);
    heads.device.write(layer.bias, values.bias);
    heads.device.write(statistics.mean, values.mean);
    heads.device.write(statistics.variance, values.variance);
    const [table] = await test.tables(data.test, options);
    return table;
  } finally {
    test.destroy();
    alone.destroy();
  }
}
