import { basename } from "node:path";
import { Command } from "commander";
import { loadEncoder } from "../../models/checkpoints/index.ts";
import type { Pooling } from "../../models/index.ts";
import { openImages } from "../../refiner/data/index_node.ts";
import { EvaluationError, type FeatureBlock, FeatureExtractor, NeighbourBank } from "../../refiner/evaluation/index.ts";
import { imageChannels } from "../checkpoints/image_channels.ts";
import { withCheckpoint } from "../checkpoints/with_checkpoint.ts";
import { type FeatureIndex, openFeatureIndex } from "../embedding/feature_index.ts";
import { shown } from "../output/shown.ts";
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
      "Encodes an image and lists the most similar ones of an index: features that embed wrote with the same weights, block and pooling (.safetensors files remember these; for .npy give them again). Tab-separated: rank, cosine similarity, image, class.",
    )
    .argument("<query>", "image to search for")
    .requiredOption("--index <file>", "features written by embed: .safetensors or .npy, with the list beside it")
    .addOption(sharedOption("weights", { more: "the one that the index was made with", isRequired: true }))
    .addOption(sharedOption("k", { more: "they are listed", default: 10 }))
    .addOption(sharedOption("block", { more: "default: as the index says, else last" }))
    .addOption(sharedOption("pool", { more: "default: as the index says, else cls where there is one" }))
    .addOption(sharedOption("shorterSide", { more: "give it if embed was given one" }));
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
  const madeWith = index.metadata.get("mimrefine.weights");
  if (madeWith !== undefined && madeWith !== basename(options.weights))
    output.warning(
      `the index was made with ${madeWith}, not ${basename(options.weights)}; similarities may mean nothing`,
    );
  const device = await openCommandDevice(options, output);
  try {
    const { model } = await withCheckpoint(options.weights, (file) =>
      loadEncoder(device, file, encoderOptions(options), options.weights),
    );
    const { shorterSide } = options;
    const extractor = new FeatureExtractor(model, {
      ...featureSettings(index, options, model.config.classTokens),
      ...(shorterSide === undefined ? {} : { shorterSidePixels: shorterSide }),
    });
    if (extractor.width !== index.features.columns)
      throw new EvaluationError(
        `search: the index has features of width ${index.features.columns}, the encoder gives ${extractor.width}; use the weights that made the index`,
      );
    const source = await openImages(query, { channels: imageChannels(model.config, options.weights), workers: 0 });
    const image = await source.load(0, extractor.decoding).finally(() => source.close?.());
    const [data = new Float32Array()] = await (await extractor.submit([image]))();
    extractor.destroy();
    const bank = new NeighbourBank(device, index.features, Math.min(options.k, index.features.rows));
    const found = await bank.search({ rows: 1, columns: extractor.width, data });
    bank.destroy();
    show(query, index, found, output);
  } finally {
    device.close();
  }
}

function featureSettings({ metadata }: FeatureIndex, { block, pool }: SearchOptions, classTokens: number) {
  const stored = metadata.get("mimrefine.block");
  const said = stored === undefined || stored === "last" ? ("last" as const) : Number(stored);
  const pooling: Pooling = metadata.get("mimrefine.pool") === "avg" || classTokens === 0 ? "avg" : "cls";
  return { blocks: [block ?? said], pooling: pool ?? pooling };
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
