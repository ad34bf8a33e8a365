import type { Device } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import { classCount, type FeatureMatrix } from "../core/feature_matrix.ts";
import { accuracy, voteOfNeighbours } from "../neighbours/knn.ts";
import { requireLabels } from "../neighbours/knn_device.ts";
import type { EncodedSides } from "../neighbours/knn_of_blocks.ts";
import { NeighbourBank, type Neighbours } from "../neighbours/neighbour_bank.ts";
import { featureStatistics, standardise } from "../statistics/standardise.ts";
import { encodingOfChanges, type FeatureChoice, featureChanges, featuresOf } from "./feature_choices.ts";
import { type Sensitivity, type SensitivityVariant, sensitivityOf } from "./sensitivity.ts";

/** What is changed one at a time. */
export interface KnnSensitivityBase {
  readonly features: FeatureChoice;
  readonly k: number;
  readonly temperature: number;
  readonly standardise: boolean;
}

export interface KnnSensitivityOptions {
  readonly signal?: AbortSignal;
  /** After each search; several variants may come from one. */
  readonly onSearch?: (searches: number, total: number) => void;
}

/** Neighbours and temperatures that published evaluations use (DINO, arXiv 2104.14294; Wu et al., arXiv 1805.01978; I-JEPA's and MAE's). */
const ks = [5, 10, 20, 50, 100, 200];
const temperatures = [0.04, 0.07, 0.1, 0.2];

type Scaling = "standardised" | "centred" | "as it is";

/** One search for neighbours, and what is voted from it. */
interface Search {
  readonly choice: FeatureChoice;
  readonly scaling: Scaling;
  /** The variant; undefined for the base, whose search serves all numbers of neighbours and temperatures. */
  readonly name?: Pick<SensitivityVariant, "setting" | "value">;
}

/**
 * k-NN accuracy with one setting changed at a time: last norm, pooling, blocks, scaling, k and temperature. Nothing is encoded again, and
 * all k and temperatures come from one search.
 *
 * @param sides - encoded as `encodingOfChanges` says
 * @throws EvaluationError as `knnAccuracy`
 */
export async function knnSensitivity(
  device: Device,
  vit: VitConfig,
  { bank, queries }: EncodedSides,
  base: KnnSensitivityBase,
  { signal, onSearch }: KnnSensitivityOptions = {},
): Promise<Sensitivity> {
  requireLabels(bank, queries);
  const { pooling } = encodingOfChanges(vit, base.features);
  const rows = bank.labels.length;
  const otherKs = ks.filter((k) => k !== base.k && k <= rows);
  const own: Search = { choice: base.features, scaling: base.standardise ? "standardised" : "as it is" };
  const searches = searchesOf(vit, own);
  const score = ({ similarities, indices, k: found }: Neighbours, k: number, temperature: number): number => {
    const labels = Int32Array.from(firstOf(indices, found, k), (row) => bank.labels[row] ?? -1);
    const vote = { k, temperature, classes: classCount(bank.labels) };
    return accuracy(voteOfNeighbours(firstOf(similarities, found, k), labels, vote), queries.labels);
  };
  const { k, temperature } = base;
  let first = Number.NaN;
  const variants: SensitivityVariant[] = [];
  for (const [i, { choice, scaling, name }] of searches.entries()) {
    signal?.throwIfAborted();
    const [train, test] = scaled(featuresOf(bank, choice, pooling), featuresOf(queries, choice, pooling), scaling);
    const found = await search(device, train, test, name ? k : Math.max(k, ...otherKs));
    onSearch?.(i + 1, searches.length);
    const own = score(found, k, temperature);
    if (name) {
      variants.push({ ...name, score: own });
      continue;
    }
    first = own;
    for (const other of otherKs)
      variants.push({ setting: "k", value: String(other), score: score(found, other, temperature) });
    for (const other of temperatures.filter((one) => one !== temperature))
      variants.push({ setting: "temperature", value: String(other), score: score(found, k, other) });
  }
  return sensitivityOf("accuracy", first, variants);
}

/** The base, then what changes its features. */
function searchesOf(vit: VitConfig, base: Search): Search[] {
  const scalings = (["standardised", "centred", "as it is"] as const).filter((scaling) => scaling !== base.scaling);
  return [
    base,
    ...scalings.map((scaling) => ({ ...base, scaling, name: { setting: "scaling", value: scaling } })),
    ...featureChanges(vit, base.choice).map(({ setting, value, choice }) => ({
      ...base,
      choice,
      name: { setting, value },
    })),
  ];
}

function scaled(train: FeatureMatrix, test: FeatureMatrix, scaling: Scaling): readonly [FeatureMatrix, FeatureMatrix] {
  if (scaling === "as it is") return [train, test];
  const statistics = featureStatistics(train);
  if (scaling === "standardised") return [standardise(train, statistics), standardise(test, statistics)];
  const means = { ...statistics, deviation: statistics.deviation.map(() => 1) };
  return [standardise(train, means, 0), standardise(test, means, 0)];
}

async function search(device: Device, train: FeatureMatrix, test: FeatureMatrix, k: number): Promise<Neighbours> {
  const bank = new NeighbourBank(device, train, k);
  try {
    return await bank.search(test);
  } finally {
    bank.destroy();
  }
}

/** The first k of every list. */
function firstOf(values: ArrayLike<number>, listed: number, k: number): Float64Array {
  const lists = values.length / listed;
  return Float64Array.from({ length: lists * k }, (_, at) => values[Math.floor(at / k) * listed + (at % k)] ?? 0);
}
