import {
  Arena,
  type AttentionSegment,
  assembleTokens,
  cast,
  concat,
  type Device,
  OptionError,
  patchify,
  reshape,
  resizeGrid,
  ShapeError,
  showShape,
  slice,
  type Tensor,
} from "../engine/index.ts";
import { blockSizes, blockStack } from "./block_stack.ts";
import { type BranchKeep, embedPatches, norm, type Weights } from "./layers.ts";
import { vitParameters } from "./parameters.ts";
import { sincosPositions } from "./positions.ts";
import { gridOf, type Precision, type VitConfig } from "./vit_config.ts";

/** Token rows of images of one resolution inside a matrix of rows. */
export interface TokenSegment extends AttentionSegment {
  /** Patch grid. */
  readonly rows: number;
  readonly columns: number;
}

export interface ForwardOptions {
  /** Blocks (0-based) whose raw output is wanted. */
  readonly taps?: readonly number[];
  /** Drop path: factors per block and sample, of images of one resolution; undefined for a block that drops nothing. */
  readonly keep?: readonly (BranchKeep | undefined)[];
  /** Recompute the inside of every block, or of those that are named (0-based), in the backward pass instead of keeping it. */
  readonly recompute?: boolean | readonly number[];
  /** Default f32. With f16 all token rows are f16; gradients of parameters are f32 in any case. */
  readonly precision?: Precision;
  /** `leave out` ends with the raw output of the last block, for a norm that follows pooling. Default: the last norm is applied. */
  readonly lastNorm?: "apply" | "leave out";
  /** Computes with these in the place of the model's own parameters. */
  readonly weights?: Weights;
  /** Receives inner values, for inspection and tests. */
  readonly observe?: (name: string, value: Tensor) => void;
}

/** Tokens of one or several resolutions as rows `[R, D]`: per segment image after image, class tokens first. */
export interface EncodedTokens {
  readonly rows: Tensor;
  readonly segments: readonly TokenSegment[];
  readonly taps: ReadonlyMap<number, Tensor>;
}

/**
 * A vision transformer (arXiv 2010.11929) in pre-norm or post-norm form. Parameters and the fixed position embedding are
 * state; `forward` records the computation into the program of its images.
 */
export class VisionTransformer {
  /** Parameters under the authors' published names; zeros until initialised or loaded. */
  readonly parameters: Arena;
  /** Fixed position embedding `[1, rows, columns, D]` of the config's resolution; sin-cos unless overwritten. */
  readonly positions: Tensor;

  /** @throws OverLimitError if a parameter is over the device's limits */
  constructor(
    readonly device: Device,
    readonly config: VitConfig,
    parameters = new Arena(device, "encoder", vitParameters(config)),
    positions?: Tensor,
  ) {
    this.parameters = parameters;
    const [rows, columns] = gridOf(config, config.heightPixels, config.widthPixels);
    this.positions = positions ?? device.zeros([1, rows, columns, config.width], "f32", "pos_embed.embed");
  }

  /** Frees parameters and position embedding, and with it that of models that were given the same one. */
  destroy(): void {
    this.parameters.destroy();
    this.positions.destroy();
  }

  /** Depth of a parameter for layer-wise decay: 0 embedding, j + 1 block j, blocks + 1 the last norm. */
  depthOf(name: string): number {
    const entry = vitParameters(this.config).find((parameter) => parameter.name === name);
    if (!entry) throw new OptionError(`vit: no parameter named ${name}`);
    return entry.depth;
  }

  /** Writes the sin-cos position embedding. @throws ShapeError if the width is not a multiple of 4 */
  writeSincosPositions(axes: "row-first" | "column-first" = "row-first"): void {
    const [, rows = 1, columns = 1, width = 4] = this.positions.shape;
    this.device.write(this.positions, sincosPositions(rows, columns, width, axes));
  }

  /**
   * Encodes images of one or several resolutions; linear layers and norms run once over all rows, attention per resolution.
   *
   * @param images - `[B, C, H, W]` per resolution, normalised
   * @throws ShapeError, RankError for images that do not fit; OptionError for a tap that is no block; MissingFeatureError for
   *   f16 on a device without it
   */
  forward(images: Tensor | readonly Tensor[], options: ForwardOptions = {}): EncodedTokens {
    const list = "shape" in images ? [images] : images;
    const { config } = this;
    const {
      taps = [],
      precision = "f32",
      lastNorm = "apply",
      weights: parameters = this.parameters,
      ...stack
    } = options;
    const { observe } = stack;
    if (precision === "f16") this.device.requireFeature("vit: precision f16", "shader-f16");
    for (const tap of taps) {
      if (!Number.isInteger(tap) || tap < 0 || tap >= config.blocks) {
        throw new OptionError(`vit: block ${tap} does not exist; choose from 0 … ${config.blocks - 1}`);
      }
    }
    const { embedded, segments } = this.#embed(
      list.map((batch) => cast(batch, precision)),
      parameters,
      observe,
    );
    observe?.("embedded", embedded);
    let x = embedded;
    if (config.kind === "postnorm") {
      x = norm(parameters, "embed_norm", x, config.epsilon);
      observe?.("embed_norm", x);
    }
    const outputs = blockStack(parameters, "blocks", x, { ...stack, ...blockSizes(config), segments });
    const tapped = new Map(outputs.flatMap((output, j) => (taps.includes(j) ? [[j, output] as const] : [])));
    x = outputs.at(-1) ?? x;
    if (config.kind === "prenorm" && lastNorm === "apply") x = norm(parameters, "norm", x, config.epsilon);
    return { rows: x, segments, taps: tapped };
  }

  #embed(
    images: readonly Tensor[],
    parameters: Weights,
    observe: ForwardOptions["observe"],
  ): { embedded: Tensor; segments: TokenSegment[] } {
    const { width, classTokens } = this.config;
    const segments: TokenSegment[] = [];
    let firstRow = 0;
    const parts = images.map((batch) => {
      const { patches, rows, columns } = this.patches(batch);
      const count = batch.shape[0] ?? 1;
      const tokens = rows * columns + classTokens;
      const embedded = embedPatches(parameters, patches);
      observe?.("patch_embed", reshape(embedded, [count, rows, columns, width]));
      const positions = this.positionsFor(rows, columns);
      segments.push({ firstRow, batch: count, tokens, rows, columns });
      firstRow += count * tokens;
      const classes = classTokens > 0 ? reshape(parameters.get("cls_tokens.tokens"), [classTokens, width]) : undefined;
      const assembled = assembleTokens(reshape(embedded, [count, rows * columns, width]), positions, classes);
      return reshape(assembled, [count * tokens, width]);
    });
    const [first] = parts;
    if (!first) throw new OptionError("vit: no images; give at least one batch");
    return { embedded: parts.length === 1 ? first : concat(parts, 0), segments };
  }

  /** Flattened patches of a batch and its patch grid. @throws ShapeError */
  patches(images: Tensor): { patches: Tensor; rows: number; columns: number } {
    const [, channels, heightPixels = 0, widthPixels = 0] = images.shape;
    if (channels !== this.config.channels) {
      throw new ShapeError(
        `vit: images ${showShape(images.shape)} have ${channels} channels, the model takes ${this.config.channels}; convert them`,
      );
    }
    const [rows, columns] = gridOf(this.config, heightPixels, widthPixels);
    return { patches: patchify(images, { patchPixels: this.config.patchPixels }), rows, columns };
  }

  /** Position embedding `[rows · columns, D]` of a grid: as stored, or resized bicubically (PyTorch's convention). */
  positionsFor(rows: number, columns: number): Tensor {
    const [, ownRows, ownColumns] = this.positions.shape;
    const isOwn = rows === ownRows && columns === ownColumns;
    const grid = isOwn ? this.positions : resizeGrid(this.positions, { rows, columns });
    return reshape(grid, [rows * columns, this.config.width]);
  }
}

/** Tokens `[B, T, D]` of one segment. @throws OptionError if there is no such segment */
export function segmentTokens(encoded: EncodedTokens, index: number): Tensor {
  const segment = encoded.segments[index];
  if (!segment) throw new OptionError(`segmentTokens: no segment ${index} among ${encoded.segments.length}`);
  const width = encoded.rows.shape.at(-1) ?? 1;
  const { firstRow, batch, tokens } = segment;
  const own =
    encoded.segments.length === 1
      ? encoded.rows
      : slice(encoded.rows, [[firstRow, firstRow + batch * tokens], undefined]);
  return reshape(own, [batch, tokens, width]);
}
