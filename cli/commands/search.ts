import { Command } from "commander";
import { shown } from "../../engine/core/shown.ts";
import { loadEncoder } from "../../models/checkpoints/index.ts";
import type { Pooling } from "../../models/index.ts";
import { subset } from "../../refiner/data/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import {
  collectFeatures,
  EvaluationError,
  type FeatureBlock,
  FeatureExtractor,
  NeighbourBank,
} from "../../refiner/evaluation/index.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import { type FeatureIndex, openFeatureIndex } from "../embedding/feature_index.ts";
import { checkIndexMaking, checkIndexWeights, readingOf } from "../embedding/index_note.ts";
import type { Output } from "../output/streams.ts";
import { type CommandContext, finishCommand, outputOf } from "../program/context.ts";
import {
  addEncoderOptions,
  type CommonOptions,
  type EncoderCommandOptions,
  encoderOptions,
  openCommandDevice,
} from "../program/options.ts";
import { sharedOption } from "../program/shared_options.ts";

interface SearchOptions extends CommonOptions, EncoderCommandOptions {
  readonly index: string;
  readonly weights: string;
  readonly k: number;
  readonly block?: FeatureBlock;
  readonly pool?: Pooling;
  readonly shorterSide?: number;
}

/** `mimrefine search QUERY` */
export function searchCommand(context: CommandContext): Command {
  const command = new Command("search")
    .summary("find the images most like a given one")
    .description(
      "Encodes an image and lists the most similar ones of an index: features that embed wrote, which know their weights, block, pooling and size; other weights are refused. Tab-separated: rank, cosine similarity, image, class.",
    )
    .argument("<query>", "image to search for")
    .requiredOption("--index <file>", "features written by embed, with the list beside them")
    .addOption(sharedOption("weights", { more: "the one that the index was made with", isRequired: true }))
    .addOption(sharedOption("k", { more: "they are listed", default: 10 }))
    .addOption(sharedOption("block", { more: "default: as the index says" }))
    .addOption(sharedOption("pool", { more: "default: as the index says" }))
    .addOption(sharedOption("shorterSide", { more: "default: as the index says" }));
  addEncoderOptions(command).action((query: string, options: SearchOptions) =>
    search(query, options, outputOf(context, options)),
  );
  return finishCommand(
    command,
    "mimrefine embed --weights encoder.safetensors --images photos/ --out photos.safetensors\nmimrefine search cat.jpg --index photos.safetensors --weights encoder.safetensors",
  );
}

async function search(query: string, options: SearchOptions, output: Output): Promise<void> {
  const index = await openFeatureIndex(options.index);
  const unknown = await checkIndexWeights(index.note, options.weights);
  if (unknown !== undefined) output.warning(unknown);
  const device = await openCommandDevice(options, output);
  try {
    const { model, report } = await withCheckpoint(options.weights, (file) =>
      loadEncoder(device, file, encoderOptions(options), options.weights),
    );
    const { block, pooling, shorterSide } = featureSettings(index, options, model.config.classTokens);
    const side = shorterSide === undefined ? {} : { shorterSide };
    const { weights, classPosition = "exact" } = options;
    const { config } = model;
    checkIndexMaking(index.note, { weights, config, place: report.place, classPosition, block, pooling, ...side });
    const extractor = new FeatureExtractor(model, {
      blocks: [block],
      pooling,
      ...(shorterSide === undefined ? {} : { shorterSidePixels: shorterSide }),
    });
    if (extractor.width !== index.features.columns)
      throw new EvaluationError(
        `search: the index has features of width ${index.features.columns}, the encoder gives ${extractor.width}; use the weights that made the index`,
      );
    const source = await openImages(query, { channels: imageChannels(model.config, options.weights), workers: 0 });
    if (source.length > 1)
      output.notice(`${query} holds ${source.length} images; the first, ${source.name(0)}, is searched for`);
    const first = subset(source, [0]);
    const encoded = await collectFeatures(extractor, first, { maxBad: 0 }).finally(() => source.close?.());
    extractor.destroy();
    const [features] = encoded.features;
    if (!features) throw new EvaluationError(`search: ${query} gave no features`);
    const bank = new NeighbourBank(device, index.features, Math.min(options.k, index.features.rows));
    const found = await bank.search(features);
    bank.destroy();
    show(query, index, found, output);
  } finally {
    device.close();
  }
}

function featureSettings({ note }: FeatureIndex, { block, pool, shorterSide }: SearchOptions, classTokens: number) {
  const said = readingOf(note);
  const pooling: Pooling = said.pool === "avg" || classTokens === 0 ? "avg" : "cls";
  return {
    block: block ?? said.block,
    pooling: pool ?? pooling,
    shorterSide: shorterSide ?? said.shorterSide,
  };
}

function show(
  query: string,
  { rows }: FeatureIndex,
  found: { readonly similarities: Float32Array; readonly indices: Uint32Array },
  output: Output,
): void {
  const results = Array.from(found.indices, (row, rank) => ({
    rank: rank + 1,
    similarity: found.similarities[rank] ?? Number.NaN,
    image: rows[row]?.path ?? "",
    class: rows[row]?.className ?? "",
  }));
  output.line(["rank", "similarity", "image", "class"].join("\t"));
  for (const result of results)
    output.line([result.rank, result.similarity.toFixed(4), shown(result.image), shown(result.class)].join("\t"));
  output.result({ query, results });
}
