import {
  type HostArray,
  OptionError,
  type Outputs,
  type Program,
  type RecordedProgram,
  recordProgram,
  type Tensor,
} from "../../../engine/index.ts";
import { gridOf, type VisionTransformer } from "../../../models/index.ts";
import type { RgbImage } from "../../data/image_source.ts";
import { EvaluationInputs, type EvaluationViewOptions } from "./evaluation_inputs.ts";
import { type FeatureBlock, featureBlocks } from "./feature_blocks.ts";
import { checkPooling, defaultPooling, type FeaturePooling, pooledWidth, poolingOf } from "./feature_pooling.ts";
import { checkFiniteRows } from "./finite_rows.ts";
import { fittingBatch } from "./fitting_batch.ts";

export interface FeatureOptions extends EvaluationViewOptions {
  /** Which outputs are wanted; default all, the last of which is the encoder's final output. */
  readonly blocks?: "all" | readonly FeatureBlock[];
  /** Default: the class token where the model has one, else the mean over patches. */
  readonly pooling?: FeaturePooling;
}

/** Device memory of a feature extraction, in bytes. */
export interface FeatureMemory {
  readonly weights: number;
  readonly activations: number;
  /** At first; grows where images are larger than 3:2 photographs of the size that they are resized to. */
  readonly inputs: number;
  /** Copies of the results on their way to the host. */
  readonly readBack: number;
  readonly total: number;
}

/** Features of a run of images: per block `[images, width]`, in the order of the images. */
export type FeatureRows = readonly Float32Array[];

/** Images that the device sees at a time where a model has many tokens. */
const fewestImages = 8;
const mostImages = 64;
/** Token rows that keep a device busy: below, launches weigh more than arithmetic. */
const wantedRows = 2048;

/**
 * Features of an encoder on evaluation views: the one way in which commands, k-NN evaluations and reports encode images.
 *
 * The device always sees the same number of images, filled up with black ones, so the features of an image are the same to the
 * bit whoever else is there, and however images are grouped or decoded. That number follows from the tokens of an image (8 from
 * 137 tokens on) and is halved until the device's limits allow it; since kernels may choose their variant by the number of rows,
 * features agree to the bit only for the same model, resolution and device, and with the same tuning table.
 */
export class FeatureExtractor {
  /** Images that the device sees at a time. */
  readonly batch: number;
  readonly blocks: readonly FeatureBlock[];
  readonly pooling: FeaturePooling;
  /** Patches of an image. */
  readonly grid: { readonly rows: number; readonly columns: number };
  readonly #inputs: EvaluationInputs;
  #program: RecordedProgram<Outputs> | undefined;

  /**
   * Records nothing that would take memory on the device before the first run.
   *
   * @throws OptionError for blocks or pooling that the model does not have, or images that it cannot take
   */
  constructor(
    readonly model: VisionTransformer,
    readonly options: FeatureOptions = {},
  ) {
    const { config, device } = model;
    const { blocks = "all", pooling = defaultPooling(config) } = options;
    this.blocks = featureBlocks(config, blocks);
    this.pooling = pooling;
    checkPooling(config, pooling);
    const { heightPixels, widthPixels, channels } = new EvaluationInputs(device, config, 1, options);
    const [rows, columns] = gridOf(config, heightPixels, widthPixels);
    this.grid = { rows, columns };
    this.batch = fittingBatch(device, wantedImages(rows * columns + config.classTokens), (p, count) => ({
      rows: model.forward(p.input("images", [count, channels, heightPixels, widthPixels])).rows,
    }));
    this.#inputs = new EvaluationInputs(device, config, this.batch, options);
  }

  /** Channels of the images. */
  get channels(): 1 | 3 {
    return this.#inputs.channels;
  }

  /** Shorter side before the centre crop; that of an image whose longer side would not do is larger. */
  get shorterSidePixels(): number {
    return this.#inputs.shorterSidePixels;
  }

  /** What is enough when images are decoded; pass it to the source's `load`. */
  get decoding(): EvaluationInputs["decoding"] {
    return this.#inputs.decoding;
  }

  /** Values per image and block. */
  get width(): number {
    return pooledWidth(this.model.config, this.pooling, this.grid.rows * this.grid.columns);
  }

  /** What a run will hold on the device, from the plan; nothing stays allocated. */
  get memory(): FeatureMemory {
    const planned = this.#record();
    const { stateBytes, plannedPeakBytes, inputBytes } = planned.stats;
    planned.destroy(); // its tables for the pooling, some kilobytes
    const readBack = 2 * this.blocks.length * this.batch * this.width * 4; // two runs are in flight
    return {
      weights: stateBytes,
      activations: plannedPeakBytes,
      inputs: inputBytes,
      readBack,
      total: stateBytes + plannedPeakBytes + inputBytes + readBack,
    };
  }

  /** The recorded program as text. */
  print(): string {
    const printed = this.#record();
    const text = printed.print();
    printed.destroy();
    return text;
  }

  /** Whether one run takes these images: no more than `batch`, and within the device's limits together. */
  holds(images: readonly RgbImage[]): boolean {
    return this.#inputs.hold(images);
  }

  /**
   * Starts the computation of images that one run {@link holds}.
   *
   * @returns once submitted; its result resolves to the features in the order of the images, or rejects with a
   *   NonFiniteFeaturesError if one of them is NaN or infinite
   * @throws OptionError for none or more than `batch` images, or other channels than the model's
   * @throws BatchCapacityError if they are over the device's limits
   */
  async submit(images: readonly RgbImage[]): Promise<() => Promise<FeatureRows>> {
    if (images.length === 0 || images.length > this.batch)
      throw new OptionError(`features: ${images.length} images; give 1 … ${this.batch} at a time`);
    if (this.#inputs.grow(images)) this.destroy();
    this.#program ??= this.#record();
    const program = this.#program;
    await program.compile(); // before the host memory of the inputs is written, which another call may use meanwhile
    const names = Object.keys(program.outputs);
    const readback = await program.run(this.#inputs.values(images), names);
    return async () => {
      const values = await readback.read();
      const rows = names.map((name) => asFloats(values[name]).subarray(0, images.length * this.width));
      checkFiniteRows(rows, images.length);
      return rows;
    };
  }

  /** Frees the program's memory; the model stays. */
  destroy(): void {
    this.#program?.destroy();
    this.#program = undefined;
  }

  #record(): RecordedProgram<Outputs> {
    const { model, blocks, pooling } = this;
    return recordProgram<Outputs>(
      model.device,
      (p) => {
        const pooled = pooledBlocks(p, model, this.#inputs.record(p), { blocks, pooling });
        return Object.fromEntries(pooled.map((values, i) => [`block ${blocks[i]}`, values]));
      },
      { inference: true, name: "features" },
    );
  }
}

/**
 * Records the encoder on images and the pooling of its blocks.
 *
 * @param images - `[batch, C, H, W]`, normalised
 * @returns `[batch, values]` per block
 * @throws OptionError for blocks or pooling that the model does not have
 */
export function pooledBlocks(
  program: Program,
  model: VisionTransformer,
  images: Tensor,
  { blocks, pooling }: { readonly blocks: readonly FeatureBlock[]; readonly pooling: FeaturePooling },
): Tensor[] {
  const encoded = model.forward(images, { taps: blocks.filter((block) => block !== "last") });
  const pooled = poolingOf(program, encoded, pooling, model.config.classTokens);
  return blocks.map((block) => {
    const rows = block === "last" ? encoded.rows : encoded.taps.get(block);
    if (!rows) throw new OptionError(`features: block ${block} was not tapped`);
    return pooled(rows);
  });
}

/** A power of two, so that halving it keeps to one. */
function wantedImages(tokens: number): number {
  const images = 2 ** Math.floor(Math.log2(wantedRows / tokens));
  return Math.min(mostImages, Math.max(fewestImages, images));
}

function asFloats(values: HostArray | undefined): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values ?? []);
}
