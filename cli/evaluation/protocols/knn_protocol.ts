import { placesOfTest } from "../../../refiner/evaluation/core/labelled_images.ts";
import { hits } from "../../../refiner/evaluation/core/test_predictions.ts";
import {
  accuracyOf,
  type BlockAccuracies,
  defaultPooling,
  type FeatureBlock,
  knnOfFeatures,
  knnSensitivity,
  labelledImages,
  type Sensitivity,
} from "../../../refiner/evaluation/index.ts";
import { blockTable, numbered } from "../../output/knn_table.ts";
import { sharedOption } from "../../program/shared_options.ts";
import { UsageError } from "../../program/usage_error.ts";
import { encodingFor, featureChoice, narrowed } from "../encoded_features.ts";
import { addKnnOptions, type EvaluationOptions, encodedSides, measureBlocks, voteOptions } from "../evaluation_job.ts";
import type { Score } from "../evaluation_line.ts";
import type { Protocol, ProtocolOptions, ProtocolResult, ProtocolRun } from "../protocol.ts";
import { withVariantProgress } from "../sensitivity_table.ts";

interface KnnProtocolOptions extends ProtocolOptions, EvaluationOptions {
  readonly maxBad: number;
  readonly block?: FeatureBlock;
}

/** `mimrefine evaluate knn` */
export const knnProtocol: Protocol<KnnProtocolOptions> = {
  name: "knn",
  summary: "nearest neighbours, per block",
  description:
    "Encodes labelled images once and classifies the test images by a weighted vote of their k nearest training images: no training, and nothing is chosen. One accuracy per block; the last row is the encoder's final output, which is the main number unless --block names another.",
  example:
    "mimrefine evaluate knn --weights encoder.safetensors --images train/ --test val/\nmimrefine evaluate knn --weights before.safetensors --compare after.safetensors --images train/ --test val/",
  isResumable: false,
  // MIM-Refiner's curves per block (arXiv 2402.10093); fewer neighbours where classes have few images.
  presets: { paper: { k: 10, kTemperature: 0.07, standardise: true }, small: { k: 5 } },
  addOptions(command) {
    command.addOption(sharedOption("block", { more: "default: all of them" }));
    addKnnOptions(command).addOption(sharedOption("sensitivity", { default: false }));
  },
  evaluate: evaluateKnn,
};

async function evaluateKnn(run: ProtocolRun, options: KnnProtocolOptions): Promise<ProtocolResult> {
  const { blocks: count } = run.model.config;
  const { block, k, kTemperature, standardise, imageSize } = options;
  if (block !== undefined && block !== "last" && block >= count)
    throw new UsageError(`evaluate knn: --block ${block} does not exist; choose 0 … ${count - 1}, or last`);
  const labelled = labelledImages("k-NN", run.train, run.test);
  for (const text of labelled.notices) run.output.notice(text);
  const job = { ...run, train: labelled.train, test: labelled.test };
  const { found, sensitivity } = await measured(job, options);
  const predictionsOf = (i: number) => ({
    indices: placesOfTest(labelled, found.testIndices),
    labels: found.testLabels,
    predicted: found.predicted[i] ?? [],
    classNames: labelled.classNames,
  });
  const nameOf = (which: FeatureBlock) => (which === "last" ? "accuracy" : `accuracy, block ${which}`);
  const scores = found.blocks.map((which, i): Score => {
    const { value, standardError, images } = accuracyOf(predictionsOf(i));
    return { name: nameOf(which), value, standardError, images };
  });
  const shares = new Map(found.blocks.map((which, i) => [nameOf(which), hits(predictionsOf(i))]));
  // The final output first: it is the number that is meant where none is named.
  const main = scores.at(-1);
  if (!main) throw new RangeError("evaluate knn: no block was measured");
  const shown = numbered(found.blocks);
  return {
    settings: {
      k,
      temperature: kTemperature,
      standardise,
      pool: options.pool ?? defaultPooling(run.model.config),
      block: block ?? "all",
      imageSize: imageSize ?? "its own",
    },
    selection: {
      on: "nothing",
      text: `nothing was chosen: the main number is that of block ${shown.at(-1)}; taking the best of several rows would be a choice on the test images`,
    },
    scores: [main, ...scores.slice(0, -1)],
    details: { blocks: found.blocks, accuracy: found.accuracy },
    table: blockTable(shown, { accuracy: found.accuracy }),
    predictions: predictionsOf(found.blocks.length - 1),
    parts: { kind: "shares", shares },
    sensitivity,
  };
}

/** Accuracies of the blocks, and with `--sensitivity` of what the last of them is compared with, encoded together. */
async function measured(
  run: ProtocolRun,
  options: KnnProtocolOptions,
): Promise<{ readonly found: BlockAccuracies; readonly sensitivity?: Sensitivity }> {
  const { device, model, output, signal } = run;
  const { block } = options;
  const shown: readonly FeatureBlock[] =
    block === undefined ? [...Array(model.config.blocks - 1).keys(), "last"] : [block];
  if (!options.sensitivity) return { found: await measureBlocks(run, options, output, shown) };
  const choice = featureChoice(run, block ?? "last", options);
  const { blocks, pooling } = encodingFor(run, choice, options);
  const encoding = { blocks: [...new Set([...shown, ...blocks])], pooling };
  const { bank, queries } = await encodedSides(run, options, output, encoding);
  const sides = { bank: narrowed(bank, shown, choice, run), queries: narrowed(queries, shown, choice, run) };
  const found = await knnOfFeatures(device, sides, voteOptions(options));
  const base = { features: choice, ...voteOptions(options) };
  const sensitivity = await withVariantProgress(output, (onSearch) =>
    knnSensitivity(device, model.config, { bank, queries }, base, { signal, onSearch }),
  );
  return { found, sensitivity };
}
