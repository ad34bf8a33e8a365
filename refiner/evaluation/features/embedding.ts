import {
  mean,
  OptionError,
  type Outputs,
  type RecordedProgram,
  recordProgram,
  reshape,
  slice,
  type Tensor,
} from "../../../engine/index.ts";
import {
  type EncodedTokens,
  gridOf,
  type Pooling,
  segmentTokens,
  type VisionTransformer,
} from "../../../models/index.ts";
import type { RgbImage } from "../../data/image_source.ts";
import {
  BatchCapacityError,
  evaluationParameters,
  evaluationViews,
  type ViewConfig,
  views,
  viewWords,
} from "../../data/views/index.ts";
import type { HeadPlacement } from "../../methods/refine/refiner_model.ts";

/** Images that the device sees at a time. One shape for all, so that features do not depend on who else is in a batch. */
export const featureBatch = 8;

/**
 * Shorter side, in units of the resized image's, up to which images are resized on the device from their full resolution;
 * decoders reduce larger ones to this first.
 */
const fullResolutionFactor = 4;

/** Room for the decoded images of a batch: 3:2 photographs of the largest size. */
const longerPerShorterSide = 1.5;

export interface FeatureOptions {
  /** Blocks (0-based) whose raw output is pooled, or `last` for the encoder's final output. */
  readonly placements: readonly HeadPlacement[];
  readonly pooling: Pooling;
  /**
   * Shorter side that images are resized to before the centre crop; default 256/224 of the model's resolution, and images of
   * exactly that resolution stay as they are.
   */
  readonly shorterSidePixels?: number;
}

/** Device memory of a feature extraction, in bytes. */
export interface FeatureMemory {
  readonly weights: number;
  readonly activations: number;
  readonly inputs: number;
  /** Copies of the results on their way to the host. */
  readonly readBack: number;
  readonly total: number;
}

/** Features of a run of images, one matrix `[images, D]` per placement. */
export type FeatureRows = readonly Float32Array[];

/** Pooled features of an encoder on evaluation views (resize the shorter side, centre crop), a fixed number of images at a time. */
export class FeatureExtractor {
  readonly #views: ViewConfig;
  readonly #recorded: RecordedProgram<Outputs>;
  readonly #names: readonly string[];
  readonly #capacityBytes: number;
  readonly #images: Uint32Array;
  readonly #table = new Uint32Array(4 * featureBatch);

  /** Records the program; nothing is allocated before the first run. @throws OptionError */
  constructor(
    readonly model: VisionTransformer,
    readonly options: FeatureOptions,
  ) {
    const { config, device } = model;
    if (config.channels !== 1 && config.channels !== 3)
      throw new OptionError(`features: the model takes ${config.channels} channels; images have 1 or 3`);
    if (options.pooling === "cls" && config.classTokens === 0)
      throw new OptionError("features: the model has no class token; pool with avg");
    this.#views = viewsOf(model);
    const side = this.decodePixels;
    this.#capacityBytes = featureBatch * side * Math.ceil(side * longerPerShorterSide) * config.channels;
    this.#images = new Uint32Array(Math.ceil(this.#capacityBytes / 4));
    this.#names = options.placements.map((placement) => `features ${placement}`);
    this.#recorded = recordProgram<Outputs>(
      device,
      (p) => {
        const operands = {
          images: p.input("images", [this.#images.length], "u32"),
          table: p.input("table", [featureBatch, 4], "u32"),
          parameters: p.input("parameters", [featureBatch, viewWords], "u32"),
        };
        const { global } = views(p, operands, this.#views);
        const taps = options.placements.filter((placement) => placement !== "last");
        const encoded = model.forward(global, { taps });
        return Object.fromEntries(
          options.placements.map((placement, i) => [
            this.#names[i] ?? "",
            pooled(model, encoded, placement, options.pooling),
          ]),
        );
      },
      { inference: true, name: "features" },
    );
  }

  /** Shorter side before the centre crop; that of an image whose longer side would not do is larger. */
  get shorterSidePixels(): number {
    const { heightPixels, widthPixels } = this.#views.global;
    return this.options.shorterSidePixels ?? Math.round((Math.min(heightPixels, widthPixels) * 256) / 224);
  }

  /** Shorter side that is enough when images are decoded; pass it to the loader as `resizeTo`. */
  get decodePixels(): number {
    return fullResolutionFactor * this.shorterSidePixels;
  }

  /** Values per image and placement. */
  get width(): number {
    return this.model.config.width;
  }

  /** What a run will hold on the device, from the plan; nothing is allocated. */
  get memory(): FeatureMemory {
    const { stateBytes, plannedPeakBytes, inputBytes } = this.#recorded.stats;
    const readBack = 2 * this.options.placements.length * featureBatch * this.width * 4; // two runs are in flight
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
    return this.#recorded.print();
  }

  /**
   * Starts the computation of up to `featureBatch` images.
   *
   * @returns once submitted; its result resolves to the features in the order of the images
   * @throws BatchCapacityError if an image alone is larger than the program has room for
   */
  async submit(images: readonly RgbImage[]): Promise<() => Promise<FeatureRows>> {
    if (images.length === 0 || images.length > featureBatch)
      throw new OptionError(`features: ${images.length} images; give 1 … ${featureBatch}`);
    if (sizeBytes(images) > this.#capacityBytes) return this.#submitHalves(images);
    this.#pack(images);
    const parameters = new Uint32Array(featureBatch * viewWords);
    for (let i = 0; i < featureBatch; i++) parameters.set(this.#parametersOf(images[i] ?? blank), i * viewWords);
    const readback = await this.#recorded.run({ images: this.#images, table: this.#table, parameters }, this.#names);
    return async () => {
      const values = await readback.read();
      return this.#names.map((name) => Float32Array.from(values[name] ?? []).slice(0, images.length * this.width));
    };
  }

  /** How one image is resized and cropped; one of exactly the model's resolution stays as it is, as in the other evaluations. */
  #parametersOf(image: RgbImage): Uint32Array {
    const { heightPixels, widthPixels } = this.#views.global;
    const isExact = image.width === widthPixels && image.height === heightPixels;
    const staysAsIs = isExact && this.options.shorterSidePixels === undefined;
    const shorter = staysAsIs ? Math.min(heightPixels, widthPixels) : this.options.shorterSidePixels;
    return evaluationParameters(this.#views, [image], shorter);
  }

  /** Images that are too large together go one half after the other. */
  async #submitHalves(images: readonly RgbImage[]): Promise<() => Promise<FeatureRows>> {
    const half = Math.ceil(images.length / 2);
    if (half === images.length) {
      throw new BatchCapacityError(
        `features: an image of ${images[0]?.width} × ${images[0]?.height} pixels is larger than the room for ${featureBatch} images; decode with resizeTo ${this.decodePixels}, or crop it`,
      );
    }
    const first = await (await this.submit(images.slice(0, half)))();
    const second = await this.submit(images.slice(half));
    return async () => {
      const rest = await second();
      return first.map((rows, i) => Float32Array.of(...rows, ...(rest[i] ?? [])));
    };
  }

  #pack(images: readonly RgbImage[]): void {
    const { channels } = this.model.config;
    const bytes = new Uint8Array(this.#images.buffer);
    let offset = 0;
    for (let i = 0; i < featureBatch; i++) {
      const image = images[i] ?? blank;
      if (image !== blank && image.channels !== channels) {
        throw new OptionError(
          `features: an image has ${image.channels} channels, the model takes ${channels}; convert the images or choose another model`,
        );
      }
      this.#table.set([offset, image.width, image.height, 0], 4 * i);
      bytes.set(image.data, offset);
      offset += image.data.length;
    }
  }

  /** Frees the program's memory; the model stays. */
  destroy(): void {
    this.#recorded.destroy();
  }
}

/** Fills places of a batch that no image takes: one black pixel, whatever the channels. */
const blank: RgbImage = { width: 1, height: 1, channels: 3, data: new Uint8Array(3) };

function sizeBytes(images: readonly RgbImage[]): number {
  const missing = featureBatch - images.length;
  return images.reduce((sum, { data }) => sum + data.length, missing * blank.data.length);
}

function viewsOf({ config }: VisionTransformer): ViewConfig {
  const { heightPixels, widthPixels, channels } = config;
  gridOf(config, heightPixels, widthPixels);
  const square = evaluationViews(Math.min(heightPixels, widthPixels), channels === 1 ? 1 : 3);
  return { ...square, global: { ...square.global, heightPixels, widthPixels } };
}

/** The class token, or the mean over patch tokens, of each image: `[B, D]`. */
function pooled(model: VisionTransformer, encoded: EncodedTokens, placement: HeadPlacement, pooling: Pooling): Tensor {
  const rows = placement === "last" ? encoded.rows : encoded.taps.get(placement);
  if (!rows) throw new OptionError(`features: block ${placement} was not tapped`);
  const tokens = segmentTokens({ ...encoded, rows }, 0);
  const [batch = 1, count = 1, width = 1] = tokens.shape;
  const { classTokens } = model.config;
  if (pooling === "cls") return reshape(slice(tokens, [undefined, [0, 1], undefined]), [batch, width]);
  return mean(slice(tokens, [undefined, [classTokens, count], undefined]), { axes: [1] });
}
