import { Arena, type Device, linear, OptionError, type Tensor } from "../engine/index.ts";
import { dense, norm } from "./layers.ts";
import { linearParameters, normParameters, type ParameterEntry, vitParameters } from "./parameters.ts";
import { type Pooling, poolingTable, poolTokens } from "./pooling.ts";
import { type ForwardOptions, VisionTransformer } from "./vit.ts";
import { gridOf, type VitConfig } from "./vit_config.ts";

/** What a classifier tells apart, and the images that it was made for. */
export interface ClassifierDescription {
  /** In the order of the logits. */
  readonly classNames: readonly string[];
  readonly pooling: Pooling;
  /** Side of the square images. */
  readonly pixels: number;
  /** Normalisation of the pixels, per channel, on the scale 0 … 1. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  /**
   * False: the head reads an encoder in post-norm form as it ends, as VTAB-1k's fine-tuning does. Default: such an encoder gets a norm of
   * the head; the others have their last one in either case.
   */
  readonly headNorm?: boolean;
}

/** What a classifier's forward pass takes of an encoder's. */
export type ClassifierForwardOptions = Pick<ForwardOptions, "keep" | "recompute" | "precision">;

/** Name of the position embedding, which is trained with the others. */
export const trainedPositions = "pos_embed.embed";

/** Parameters of a classifier: the encoder's, its positions, a norm of the head where the encoder ends without one, the head. */
export function classifierParameters(
  config: VitConfig,
  classes: number,
  { headNorm = true }: Pick<ClassifierDescription, "headNorm"> = {},
): ParameterEntry[] {
  const { width, blocks, kind, heightPixels, widthPixels } = config;
  const [rows, columns] = gridOf(config, heightPixels, widthPixels);
  return [
    ...vitParameters(config),
    { name: trainedPositions, shape: [1, rows, columns, width], initialization: "zeros", depth: 0 },
    ...(kind === "postnorm" && headNorm ? normParameters("head_norm", width, blocks + 1) : []),
    ...linearParameters("head", width, classes, blocks + 1, "head"),
  ];
}

/**
 * A vision transformer with a linear head, as MAE and data2vec 2.0 are fine-tuned: encoder, pooling, then the last norm (of the
 * mean for mean-patch pooling), then the head. An encoder in post-norm form ends without a norm; it gets one, `head_norm`.
 */
export class Classifier {
  readonly encoder: VisionTransformer;
  /** All parameters, see {@link classifierParameters}; zeros until written or loaded. */
  readonly parameters: Arena;

  /**
   * @param parameters - of {@link classifierParameters}; default: an arena of its own
   * @throws OptionError without classes, or for class-token pooling of a model without class tokens
   */
  constructor(
    readonly device: Device,
    config: VitConfig,
    readonly description: ClassifierDescription,
    parameters?: Arena,
  ) {
    const { classNames, pooling } = description;
    if (classNames.length === 0) throw new OptionError("classifier: there are no classes; give at least 2");
    if (pooling === "cls" && config.classTokens === 0)
      throw new OptionError("classifier: the encoder has no class token to pool; use avg");
    this.parameters =
      parameters ?? new Arena(device, "classifier", classifierParameters(config, classNames.length, description));
    this.encoder = new VisionTransformer(device, config, this.parameters, this.parameters.get(trainedPositions));
  }

  get config(): VitConfig {
    return this.encoder.config;
  }

  /** Copies an encoder's parameters and positions; the head stays as it is. */
  async copyEncoder(encoder: VisionTransformer): Promise<void> {
    const sources = [...encoder.parameters.tensors, [trainedPositions, encoder.positions] as const];
    for (const [name, source] of sources) {
      if (!this.parameters.has(name)) continue;
      this.device.write(this.parameters.get(name), await source.read());
    }
  }

  /** Depth of a parameter for layer-wise decay: 0 embedding and positions, j + 1 block j, blocks + 1 last norm and head. */
  depthOf(name: string): number {
    const entries = classifierParameters(this.config, this.description.classNames.length, this.description);
    const entry = entries.find((parameter) => parameter.name === name);
    if (!entry) throw new OptionError(`classifier: no parameter named ${name}`);
    return entry.depth;
  }

  /**
   * Records the logits of a batch.
   *
   * @param images - `[B, C, H, W]`, normalised
   * @returns `[B, classes]`, f32
   * @throws ShapeError, RankError for images that do not fit; MissingFeatureError for f16 on a device without it
   */
  forward(images: Tensor, options: ClassifierForwardOptions = {}): Tensor {
    const { rows, segments } = this.encoder.forward(images, { ...options, lastNorm: "leave out" });
    const { pooling } = this.description;
    return this.head(poolTokens(rows, poolingTable(rows.program, segments, pooling, this.config.classTokens)));
  }

  /**
   * Records the logits of pooled features.
   *
   * @param pooled - raw output of the last block, `[B, D]`, f32
   * @returns `[B, classes]`
   */
  head(pooled: Tensor): Tensor {
    const { config, parameters } = this;
    const name = config.kind === "prenorm" ? "norm" : "head_norm";
    const normed = parameters.has(`${name}.weight`) ? norm(parameters, name, pooled, config.epsilon) : pooled;
    const { weight, bias } = dense(parameters, "head");
    return linear(normed, weight, { bias });
  }

  /** Frees the parameters. */
  destroy(): void {
    this.parameters.destroy();
  }
}
