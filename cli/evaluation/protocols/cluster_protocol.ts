import { occurringClasses } from "../../../refiner/data/index.ts";
import {
  type BlockFeatures,
  type ClusterCurvePoint,
  clusterAgreement,
  clusterCurve,
  clusterSensitivity,
  defaultPooling,
  type FeatureChoice,
  type FeatureMatrix,
  type GroupSeparation,
  groupSeparation,
  type KMeans,
  kMeans,
  type Sensitivity,
} from "../../../refiner/evaluation/index.ts";
import { Progress } from "../../output/progress.ts";
import type { Output } from "../../output/streams.ts";
import { openCommandImages } from "../../program/open_images.ts";
import { numberList, wholeNumber } from "../../program/parsers.ts";
import { sharedOption } from "../../program/shared_options.ts";
import { UsageError } from "../../program/usage_error.ts";
import { type Clustered, clusteredImages, clusterPredictions, writeAssignments } from "../clustered_images.ts";
import {
  type BlockOptions,
  chosenBlock,
  encodedFeatures,
  encodingFor,
  featureChoice,
  narrowed,
} from "../encoded_features.ts";
import type { JobDecoding, JobImages } from "../evaluation_job.ts";
import type { Score } from "../evaluation_line.ts";
import type { Protocol, ProtocolResult, ProtocolRun } from "../protocol.ts";
import { withVariantProgress } from "../sensitivity_table.ts";
import { contactSheets } from "./cluster_pictures.ts";

interface ClusterOptions extends BlockOptions {
  readonly clusters?: readonly number[];
  readonly restarts: number;
  readonly maxIterations: number;
  readonly unitLength: boolean;
  readonly assignments?: string;
}

/** Starts of each variant of `--sensitivity`, and of what they are compared with. */
const variantStarts = 2;

/** `mimrefine evaluate cluster` */
export const clusterProtocol: Protocol<ClusterOptions> = {
  name: "cluster",
  summary: "k-means clusters against classes, and how far apart they lie",
  description:
    "Clusters the features of --test, or of all --images where no --test is given, with k-means (k-means++, the best of some restarts by inertia) into as many clusters as there are classes, and measures how the clusters agree with the classes (accuracy under the best matching, NMI, AMI, ARI) and how far clusters and classes stand apart (silhouette, Davies–Bouldin, Caliński–Harabasz). Labels have no part in the clustering. With a list of numbers for --clusters, or images without labels, it prints inertia and silhouette for each number instead.",
  example:
    "mimrefine evaluate cluster --weights encoder.safetensors --images val/\nmimrefine evaluate cluster --weights encoder.safetensors --images photos/ --clusters 2..20 --out runs/curve",
  isResumable: false,
  // The paper's script is not published: these are what its table is read as.
  presets: {
    paper: { restarts: 10, maxIterations: 300, unitLength: true },
    small: { restarts: 50, maxIterations: 300, unitLength: true },
  },
  addOptions(command) {
    command
      .option(
        "--clusters <numbers>",
        "number of clusters (default: that of the classes), or a list of them, such as 2,5,10 or 2..20",
        numberList,
      )
      .option("--restarts <number>", "starts, of which the one of least inertia counts", wholeNumber(1, 10_000), 10)
      .option("--max-iterations <number>", "iterations of each start at most", wholeNumber(1, 100_000), 300)
      .option("--no-unit-length", "cluster features as they are, not scaled to length 1")
      .option("--assignments <file>", "CSV to write with the path and the cluster of every image")
      .addOption(sharedOption("block", { more: "default: the last block's raw output" }))
      .addOption(sharedOption("pool", { more: "default: cls where there is one" }))
      .addOption(sharedOption("sensitivity", { more: `${variantStarts} starts each`, default: false }));
  },
  touched: ({ assignments }) => ({ writes: { "--assignments": assignments } }),
  async check({ assignments, clusters, predictions, confusion, test, sensitivity }) {
    if (clusters !== undefined && clusters.length > 1 && sensitivity)
      throw new UsageError("evaluate cluster: --sensitivity is of one number of clusters; give one for --clusters");
    if (clusters !== undefined && clusters.length > 1 && [assignments, predictions, confusion].some(Boolean))
      throw new UsageError("evaluate cluster: a list of numbers leaves no clusters to write; give one for --clusters");
    if (test === undefined && (predictions !== undefined || confusion !== undefined))
      throw new UsageError("evaluate cluster: --predictions and --confusion are about test images; give --test");
  },
  openImages: openedTogether,
  fits: () => false,
  evaluate: evaluateCluster,
};

/** All images where no test images are given: labels have no part in the clustering, so none are held out. */
async function openedTogether(
  { images, test }: ClusterOptions,
  decoding: JobDecoding,
  open: { close?(): Promise<void> }[],
  output: Output,
): Promise<JobImages | undefined> {
  if (test !== undefined) return undefined;
  const all = await openCommandImages(images, decoding, output);
  open.push(all);
  return { train: all, test: all };
}

async function evaluateCluster(run: ProtocolRun, options: ClusterOptions): Promise<ProtocolResult> {
  const block = chosenBlock("cluster", run, options);
  const sources = [run.test];
  const classes = new Map(sources.flatMap((source) => [...occurringClasses(source)]));
  const choice = featureChoice(run, block, options);
  const encoded = await encodedFeatures(run, sources, encodingFor(run, choice, options), options);
  const own = options.sensitivity ? encoded.map((part) => narrowed(part, [block], choice, run)) : encoded;
  const clustered = clusteredImages(own, sources, classes, options.unitLength);
  const settings = {
    clusters: options.clusters ?? "as many as classes",
    restarts: options.restarts,
    maxIterations: options.maxIterations,
    unitLength: options.unitLength,
    block,
    pool: options.pool ?? defaultPooling(run.model.config),
    imageSize: options.imageSize ?? "its own",
  };
  const found = await measured(run, clustered, options);
  const sensitivity = await sensitivityOf(run, encoded, choice, classes.size, options);
  return { settings, selection: selectionOf(options), ...found, sensitivity };
}

/** @param classes - their number */
async function sensitivityOf(
  { device, model, output, signal }: ProtocolRun,
  encoded: readonly BlockFeatures[],
  choice: FeatureChoice,
  classes: number,
  { sensitivity, clusters, restarts, maxIterations, unitLength, seed }: ClusterOptions,
): Promise<Sensitivity | undefined> {
  if (!sensitivity) return undefined;
  if (classes === 0)
    throw new UsageError("evaluate cluster: --sensitivity compares accuracies, but the images have no labels; drop it");
  const [all] = encoded;
  if (!all) throw new RangeError("evaluate cluster: nothing was encoded");
  const starts = { restarts: Math.min(restarts, variantStarts), maxIterations, seed, unitLength, signal };
  return withVariantProgress(output, (onRun) =>
    clusterSensitivity(device, model.config, all, choice, { ...starts, clusters: clusters?.[0] ?? classes, onRun }),
  );
}

type Measured = Omit<ProtocolResult, "settings" | "selection">;

async function measured(run: ProtocolRun, clustered: Clustered, options: ClusterOptions): Promise<Measured> {
  const counts = options.clusters ?? (clustered.classes.size > 0 ? [clustered.classes.size] : undefined);
  if (!counts)
    throw new UsageError(
      "evaluate cluster: the images have no labels that tell a number; give --clusters, such as 2,5,10,20",
    );
  const [clusters = 1] = counts;
  if (counts.length > 1) return curveOf(run, clustered, counts, options);
  const { device, output, signal } = run;
  const progress = new Progress(output, options.restarts, "starts");
  const found = await kMeans(device, clustered.x, {
    clusters,
    seed: options.seed,
    restarts: options.restarts,
    maxIterations: options.maxIterations,
    signal,
    onIteration: (restart) => progress.update(restart),
  }).finally(() => progress.end());
  if (options.assignments !== undefined && !run.isSecond) await writeAssignments(options.assignments, clustered, found);
  const ofClusters = await separationOf(run, clustered.x, found.assignment);
  const isLabelled = clustered.classes.size > 0;
  const ofClasses = isLabelled ? await separationOf(run, clustered.x, clustered.labels) : undefined;
  const once = measuredOnce(clustered, found, ofClusters, ofClasses, options);
  return run.hasPage ? { ...once, shown: await contactSheets(clustered, found) } : once;
}

/** With progress on stderr: all pairs of images are measured. */
async function separationOf(
  { device, output, signal }: ProtocolRun,
  x: FeatureMatrix,
  groups: Int32Array,
): Promise<GroupSeparation> {
  const progress = new Progress(output, x.rows, "silhouettes");
  const onProgress = (rows: number): void => progress.update(rows);
  return groupSeparation(device, x, groups, { signal, onProgress }).finally(() => progress.end());
}

function measuredOnce(
  { x, labels, classes, places }: Clustered,
  found: KMeans,
  ofClusters: GroupSeparation,
  ofClasses: GroupSeparation | undefined,
  options: ClusterOptions,
): Measured {
  const agreement = ofClasses ? clusterAgreement(found.assignment, labels) : undefined;
  const score = (name: string, value: number | undefined): Score[] =>
    value === undefined ? [] : [{ name, value, standardError: null, images: x.rows }];
  const [main, ...others] = [
    ...score("accuracy", agreement?.accuracy),
    ...score("NMI", agreement?.nmi),
    ...score("AMI", agreement?.ami),
    ...score("ARI", agreement?.ari),
    ...separationScores("clusters", ofClusters, score),
    ...(ofClasses ? separationScores("classes", ofClasses, score) : []),
    ...score("inertia", found.inertia),
  ];
  if (!main) throw new RangeError("evaluate cluster: nothing was measured");
  const restarts = found.runs.map(({ assignment, ...run }) => ({
    ...run,
    ...(agreement ? withoutClasses(clusterAgreement(assignment, labels)) : {}),
  }));
  return {
    scores: [main, ...others],
    details: { clusters: found.centroids.rows, iterations: found.iterations, converged: found.converged, restarts },
    remarks: remarksOf(found, restarts),
    table: [["score", "value"], ...[main, ...others].map(({ name, value }) => [name, value.toPrecision(5)])],
    ...(agreement && options.test !== undefined
      ? { predictions: clusterPredictions(labels, classes, found, agreement.classOfCluster, places) }
      : {}),
  };
}

function separationScores(
  what: string,
  { silhouette, daviesBouldin, calinskiHarabasz }: GroupSeparation,
  score: (name: string, value: number | undefined) => Score[],
): Score[] {
  return [
    ...score(`silhouette, ${what}`, silhouette),
    ...score(`Davies–Bouldin, ${what}`, daviesBouldin),
    ...score(`Caliński–Harabasz, ${what}`, calinskiHarabasz),
  ];
}

function withoutClasses({ accuracy, nmi, ami, ari }: ReturnType<typeof clusterAgreement>) {
  return { accuracy, nmi, ami, ari };
}

async function curveOf(
  { device, output, signal }: ProtocolRun,
  { x }: Clustered,
  counts: readonly number[],
  { seed, restarts, maxIterations }: ClusterOptions,
): Promise<Measured> {
  const progress = new Progress(output, counts.length, "numbers of clusters");
  let done = 0;
  const points = await clusterCurve(device, x, counts, {
    seed,
    restarts,
    maxIterations,
    signal,
    onPoint: () => progress.update(++done),
  }).finally(() => progress.end());
  const scores = points.flatMap(({ clusters, inertia, silhouette }): Score[] => [
    ...(silhouette === undefined
      ? []
      : [{ name: `silhouette, ${clusters} clusters`, value: silhouette, standardError: null, images: x.rows }]),
    { name: `inertia, ${clusters} clusters`, value: inertia, standardError: null, images: x.rows },
  ]);
  const [main, ...others] = scores;
  if (!main) throw new RangeError("evaluate cluster: there is no number of clusters");
  const best = points.reduce((a, b) => ((b.silhouette ?? -2) > (a.silhouette ?? -2) ? b : a));
  return {
    scores: [main, ...others],
    details: { curve: points },
    shown: {
      curve: points.map(({ silhouette, ...point }) => ({
        ...point,
        ...(silhouette === undefined ? {} : { silhouette }),
      })),
    },
    remarks: [`the silhouette is highest for ${best.clusters} of these numbers of clusters`],
    table: [["clusters", "inertia", "silhouette"], ...points.map(curveRow)],
  };
}

function curveRow({ clusters, inertia, silhouette }: ClusterCurvePoint): string[] {
  return [String(clusters), inertia.toPrecision(6), silhouette?.toFixed(4) ?? "-"];
}

function selectionOf({ restarts }: ClusterOptions): ProtocolResult["selection"] {
  return {
    on: "nothing",
    text: `labels had no part in the clusters: of ${restarts} starts the one of least inertia counts`,
  };
}

function remarksOf(found: KMeans, restarts: readonly { readonly accuracy?: number }[]): string[] {
  const accuracies = restarts.flatMap(({ accuracy }) => (accuracy === undefined ? [] : [accuracy]));
  const mean = accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length;
  const unsettled = found.runs.filter(({ converged }) => !converged).length;
  return [
    ...(accuracies.length > 1
      ? [
          `accuracy over all ${accuracies.length} starts: mean ${mean.toFixed(4)}, best ${Math.max(...accuracies).toFixed(4)} (choosing that one would use the labels)`,
        ]
      : []),
    ...(unsettled > 0 ? [`${unsettled} of ${found.runs.length} starts had not settled; raise --max-iterations`] : []),
    "the paper's own clustering code is not published: k-means variant, restarts and scaling may differ from its table",
  ];
}
