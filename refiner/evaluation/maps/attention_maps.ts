import {
  OptionError,
  type Outputs,
  type Program,
  type RecordedProgram,
  recordProgram,
  type Tensor,
} from "../../../engine/index.ts";
import { gridOf, type VisionTransformer } from "../../../models/index.ts";
import type { ImageSource, RgbImage } from "../../data/image_source.ts";
import { EvaluationInputs, type EvaluationViewOptions } from "../features/evaluation_inputs.ts";
import { type FeatureBlock, featureBlocks } from "../features/feature_blocks.ts";
import { NonFiniteFeaturesError } from "../features/finite_rows.ts";
import { matchChannels } from "../features/match_channels.ts";
import { classAttention } from "./class_attention.ts";

export interface AttentionMapOptions extends EvaluationViewOptions {
  /** Block whose attention is shown, 0-based; default `last`, the last one. */
  readonly block?: FeatureBlock;
  readonly signal?: AbortSignal;
}

/** Where the class token of one image looks. */
export interface AttentionMap {
  /** Place of the image in its source. */
  readonly index: number;
  readonly heads: number;
  /** Patch grid. */
  readonly rows: number;
  readonly columns: number;
  /** Soft-max weights of the class token on the patches, `[heads, rows, columns]`; what is missing to 1 is its weight on class tokens. */
  readonly weights: Float32Array;
  /** Mean over the heads, `[rows, columns]`. */
  readonly mean: Float32Array;
}

/**
 * Attention of the (first) class token to the patches of images, per head: the row of soft-max weights without the columns of class
 * tokens, not renormalised (as in figures of DINO, arXiv 2104.14294). Images are encoded one by one, whole or as the view says.
 *
 * @returns one map per image, in the order of the source; close the generator to free its memory early
 * @throws OptionError for a model without class token, a block that it does not have, or images that it cannot take;
 *   NonFiniteFeaturesError if scores or weights are NaN or infinite; BrokenImageError; the reason of the signal
 */
export async function* attentionMaps(
  model: VisionTransformer,
  source: ImageSource,
  options: AttentionMapOptions = {},
): AsyncGenerator<AttentionMap, void, undefined> {
  const recorded = new RecordedMaps(model, options);
  const images = matchChannels(source, recorded.channels);
  try {
    for (let index = 0; index < images.length; index++) {
      options.signal?.throwIfAborted();
      const image = await images.load(index, recorded.decoding);
      yield { index, ...(await recorded.mapOf(image, images.name(index))) };
    }
  } finally {
    recorded.destroy();
  }
}

/** The program that gives the weights of one image; recorded again where an image is larger than those before. */
class RecordedMaps {
  readonly #inputs: EvaluationInputs;
  readonly #block: number;
  readonly #grid: readonly [rows: number, columns: number];
  #program: RecordedProgram<Outputs> | undefined;

  constructor(
    readonly model: VisionTransformer,
    options: AttentionMapOptions,
  ) {
    const { config, device } = model;
    if (config.classTokens === 0)
      throw new OptionError(
        "attentionMaps: the model has no class token, whose attention the maps show; show its patch features instead (principalMaps, or attention --maps pca)",
      );
    const [block = "last"] = featureBlocks(config, [options.block ?? "last"]);
    this.#block = block === "last" ? config.blocks - 1 : block;
    this.#inputs = new EvaluationInputs(device, config, 1, options);
    this.#grid = gridOf(config, this.#inputs.heightPixels, this.#inputs.widthPixels);
  }

  get channels(): 1 | 3 {
    return this.#inputs.channels;
  }

  get decoding(): EvaluationInputs["decoding"] {
    return this.#inputs.decoding;
  }

  async mapOf(image: RgbImage, name: string): Promise<Omit<AttentionMap, "index">> {
    if (this.#inputs.grow([image])) this.destroy();
    this.#program ??= recordProgram<Outputs>(this.model.device, (p) => this.#record(p), {
      inference: true,
      name: "attention maps",
    });
    const read = await (await this.#program.run(this.#inputs.values([image]), ["scores", "weights"])).read();
    const [scores, weights] = [Float32Array.from(read.scores ?? []), Float32Array.from(read.weights ?? [])];
    // A score of -∞ is a weight of 0, which looks like any other.
    if (![scores, weights].every((values) => values.every(Number.isFinite)))
      throw new NonFiniteFeaturesError([0], [name], "1 image");
    const { heads } = this.model.config;
    const [rows, columns] = this.#grid;
    return { heads, rows, columns, weights, mean: meanOf(weights, heads) };
  }

  #record(program: Program): Outputs {
    const wanted = `block.${this.#block}.qkv`;
    let qkv: Tensor | undefined;
    const { segments } = this.model.forward(this.#inputs.record(program), {
      observe: (name, value) => {
        if (name === wanted) qkv = value;
      },
    });
    const [segment] = segments;
    if (!qkv || !segment) throw new OptionError(`attentionMaps: the model reported no ${wanted}`);
    return { ...classAttention(qkv, segment, this.model.config) };
  }

  destroy(): void {
    this.#program?.destroy();
    this.#program = undefined;
  }
}

function meanOf(weights: Float32Array, heads: number): Float32Array {
  const patches = weights.length / heads;
  return Float32Array.from({ length: patches }, (_, patch) => {
    let sum = 0;
    for (let head = 0; head < heads; head++) sum += weights[head * patches + patch] ?? 0;
    return sum / heads;
  });
}
