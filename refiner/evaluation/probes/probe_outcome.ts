import type { TestPredictions } from "../core/test_predictions.ts";
import type { LabelledRows, LinearProbeMethod } from "./linear_probe_method.ts";
import { type ProbeGrid, type ProbeHead, splitHeads } from "./probe_grid.ts";
import { readProbeHead } from "./probe_head_file.ts";
import { recordProbabilities } from "./probe_heads.ts";
import { bestHead, type ProbeScores } from "./probe_scores.ts";

/** A head at some epoch with what it got right. */
export interface ProbeResult {
  readonly head: ProbeHead;
  readonly rate: number;
  readonly feature: string;
  readonly epoch: number;
  /** Accuracy 0 … 1 on the held-out training images, where there are any. */
  readonly heldOut?: number;
  /** Accuracy 0 … 1 on the test images. */
  readonly test: number;
}

export interface LinearProbeResult {
  readonly finished: boolean;
  readonly updates: number;
  /** Those that may be chosen. */
  readonly heads: readonly ProbeHead[];
  /** Trained beside them for `probeSensitivity`: the scores of an epoch go on with theirs. */
  readonly compared: readonly ProbeHead[];
  readonly classNames: readonly string[];
  /** Training images of each class, held-out ones among them. */
  readonly classImages: readonly number[];
  /** Images that were trained on, held out, and tested. */
  readonly images: { readonly train: number; readonly heldOut: number; readonly test: number };
  /** Per epoch, what every head got right. */
  readonly scores: readonly ProbeScores[];
  /** Best head and epoch on the images that choose; absent before the first epoch ended. */
  readonly chosen?: ProbeResult;
  /** Best head of the last epoch on the images that choose; absent unless finished. */
  readonly lastEpoch?: ProbeResult;
  /** Largest test accuracy over heads and epochs: what the publication reports. Absent before the first epoch ended. */
  readonly testMaximum?: ProbeResult;
  /** Of the chosen head; absent unless finished. */
  readonly predictions?: TestPredictions;
}

/** A probe whose loop is over. */
export interface EndedProbe {
  readonly grid: ProbeGrid;
  readonly method: LinearProbeMethod;
  readonly classNames: readonly string[];
  readonly classImages: readonly number[];
  readonly trainImages: number;
  readonly heldOut: LabelledRows | undefined;
  readonly test: LabelledRows;
  /** Place in the test set of each of its rows. */
  readonly testIndices: Uint32Array;
}

/** What a probe found so far. @param finished - whether all epochs are over, so that its predictions are final */
export async function outcome(
  ended: EndedProbe,
  finished: boolean,
): Promise<Omit<LinearProbeResult, "finished" | "updates">> {
  const { grid, method, classNames, classImages, heldOut, test, trainImages } = ended;
  const { config } = method;
  const { choosable: heads, compared } = splitHeads(grid);
  const scores = [...method.scores.values()].sort((a, b) => a.epoch - b.epoch);
  const images = { train: trainImages, heldOut: heldOut?.labels.length ?? 0, test: test.labels.length };
  const result = ({ head, epoch }: { head: number; epoch: number }): ProbeResult | undefined => {
    const found = method.scores.get(epoch);
    const one = grid.heads[head];
    if (!found || !one) return undefined;
    return {
      head: one,
      rate: grid.rates[one.rate] ?? Number.NaN,
      feature: grid.features[one.feature]?.name ?? "",
      epoch,
      ...(found.heldOut ? { heldOut: (found.heldOut[head] ?? 0) / images.heldOut } : {}),
      test: (found.test[head] ?? 0) / images.test,
    };
  };
  const { best } = method.selection;
  const chosen = best && result(best);
  const last = scores.at(-1);
  const lastEpoch =
    finished && last
      ? result({ head: bestHead(last, config.select, heads.length).head, epoch: last.epoch })
      : undefined;
  const tops = scores.map((one) => ({ ...bestHead(one, "test", heads.length), epoch: one.epoch }));
  const top = tops.reduce<(typeof tops)[number] | undefined>(
    (a, b) => (a && a.correct >= b.correct ? a : b),
    undefined,
  );
  const testMaximum = top && result(top);
  const predictions = finished && chosen ? await predicted(ended, chosen) : undefined;
  return {
    heads,
    compared,
    classNames,
    classImages,
    images,
    scores,
    ...(chosen ? { chosen } : {}),
    ...(lastEpoch ? { lastEpoch } : {}),
    ...(testMaximum ? { testMaximum } : {}),
    ...(predictions ? { predictions } : {}),
  };
}

/** Rows whose probabilities are computed at a time. */
const rowsPerRun = 256;

/** What the chosen head says of the test images. */
async function predicted(
  { method, grid, test, testIndices, classNames }: EndedProbe,
  { head, epoch }: ProbeResult,
): Promise<TestPredictions> {
  const { device, store } = method;
  const feature = grid.features[head.feature];
  const [from, to] = feature?.columns ?? [0, 0];
  const width = feature ? (grid.sources.get(feature.source) ?? 0) : 0;
  const trained = await readProbeHead(store, classNames.length, to - from, { head: head.name, epoch });
  const program = recordProbabilities(device, trained, rowsPerRun);
  const found = new Int32Array(test.labels.length);
  const probabilities = new Float32Array(test.labels.length);
  for (let first = 0; first < found.length; first += rowsPerRun) {
    const count = Math.min(rowsPerRun, found.length - first);
    const rows = await test.rows.gather(
      Uint32Array.from({ length: count }, (_, i) => first + i),
      rowsPerRun,
    );
    const source = (feature && rows.get(feature.source)) ?? new Float32Array();
    const x = new Float32Array(rowsPerRun * (to - from));
    for (let row = 0; row < count; row++)
      x.set(source.subarray(row * width + from, row * width + to), row * (to - from));
    const { probabilities: values } = await (await program.run({ x }, ["probabilities"])).read();
    for (let row = 0; row < count; row++) {
      const own = Float32Array.from(values ?? []).subarray(row * classNames.length, (row + 1) * classNames.length);
      const best = own.reduce((most, value, i) => (value > (own[most] ?? 0) ? i : most), 0);
      found[first + row] = best;
      probabilities[first + row] = own[best] ?? Number.NaN;
    }
  }
  program.destroy();
  return { indices: testIndices, labels: test.labels, predicted: found, probabilities, classNames };
}
