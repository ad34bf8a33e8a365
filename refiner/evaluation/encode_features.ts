import {
  type Device,
  OptionError,
  type Program,
  type RecordedProgram,
  recordProgram,
  type Tensor,
} from "../../engine/index.ts";
import { type Pooling, poolingTable, poolTokens, type VisionTransformer } from "../../models/index.ts";
import { type ImageBatch, orderedBatches, type ReadOptions } from "../data/batches.ts";
import type { ImageSource } from "../data/image_source.ts";
import {
  evaluationParameters,
  evaluationViews,
  packImages,
  type ViewConfig,
  views,
  viewWords,
} from "../views/index.ts";
import { EvaluationError } from "./errors.ts";
import type { FeatureMatrix } from "./feature_matrix.ts";
import { matchChannels } from "./match_channels.ts";

export interface EncodeOptions extends Pick<ReadOptions, "maxBad" | "onBroken" | "signal" | "prefetch"> {
  /** Blocks (0-based) whose output is wanted; default all. That of the last block is the encoder's, after its last norm. */
  readonly blocks?: "all" | readonly number[];
  /** Default: the class token where the model has one, else the mean over patches. */
  readonly pooling?: Pooling;
  /** Images per run; changes speed and memory only. Default 64. */
  readonly batch?: number;
  /** Side of the square that the model sees; default its own height. */
  readonly imagePixels?: number;
  /** Per channel, on the scale 0 … 1; default ImageNet's. */
  readonly mean?: readonly number[];
  readonly deviation?: readonly number[];
  /** Images done so far. */
  readonly onProgress?: (images: number) => void;
}

/** Pooled features of images, a matrix per block. */
export interface BlockFeatures {
  readonly blocks: readonly number[];
  /** `[images, D]` per block, in the order of `blocks`. */
  readonly features: readonly FeatureMatrix[];
  /** Class of each row, -1 where it has none. */
  readonly labels: Int32Array;
  /** Place of each row in the source; broken images are left out. */
  readonly indices: Uint32Array;
}

/**
 * Encodes every image once and keeps the pooled output of the chosen blocks. Images are resized on the device (shorter side to
 * 256/224 of `imagePixels`, bicubic), cropped in the centre and normalised; those of exactly `imagePixels` stay as they are.
 * The forward pass is recorded once; the next batch is decoded and submitted while the last one comes back.
 *
 * @throws EvaluationError if no image could be read
 * @throws OptionError for blocks or pooling that the model does not have
 * @throws TooManyBrokenImagesError above `maxBad`
 */
export async function encodeFeatures(
  device: Device,
  model: VisionTransformer,
  source: ImageSource,
  options: EncodeOptions = {},
): Promise<BlockFeatures> {
  const { batch = 64, onProgress } = options;
  const images = matchChannels(source, model.config.channels === 1 ? 1 : 3);
  const encoder = new BatchEncoder(device, model, Math.min(batch, source.length), options);
  const { width } = model.config;
  const rows = encoder.blocks.map(() => new Float32Array(source.length * width));
  const labels = new Int32Array(source.length);
  const indices = new Uint32Array(source.length);
  let count = 0;
  let pending: { readonly read: () => Promise<readonly ArrayLike<number>[]>; readonly from: ImageBatch } | undefined;
  const collect = async (): Promise<void> => {
    if (!pending) return;
    const { read, from } = pending;
    pending = undefined;
    const values = await read();
    const wanted = from.images.length * width;
    rows.forEach((target, i) => {
      target.set(Float32Array.from(values[i] ?? []).subarray(0, wanted), count * width);
    });
    labels.set(from.labels, count);
    indices.set(from.indices, count);
    count += from.images.length;
    onProgress?.(count);
  };
  try {
    const { maxBad, onBroken, signal, prefetch } = options;
    const reading = {
      batchSize: encoder.batch,
      resizeTo: encoder.shorterSidePixels,
      maxBad,
      onBroken,
      signal,
      prefetch,
    };
    for await (const next of orderedBatches(images, reading)) {
      if (next.images.length === 0) continue;
      const read = await encoder.submit(next);
      await collect();
      pending = { read, from: next };
    }
    await collect();
  } finally {
    encoder.destroy();
  }
  if (count === 0) throw new EvaluationError("features: no image could be read; see the errors of the single images");
  return {
    blocks: encoder.blocks,
    features: rows.map((data) => ({ rows: count, columns: width, data: data.subarray(0, count * width) })),
    labels: labels.subarray(0, count),
    indices: indices.subarray(0, count),
  };
}

/** Room for photographs of different shapes when the program has to be recorded again for larger images. */
const spareRoom = 1.25;

/** The recorded forward pass for batches of one size. */
class BatchEncoder {
  readonly blocks: readonly number[];
  readonly #view: ViewConfig;
  readonly #pooling: Pooling;
  #capacityBytes = 0;
  #program: RecordedProgram<Record<string, Tensor>> | undefined;

  constructor(
    readonly device: Device,
    readonly model: VisionTransformer,
    readonly batch: number,
    options: EncodeOptions,
  ) {
    const { config } = model;
    const { blocks = "all", imagePixels = config.heightPixels, mean, deviation } = options;
    const all = Array.from({ length: config.blocks }, (_, block) => block);
    this.blocks = blocks === "all" ? all : blocks;
    if (this.blocks.length === 0) throw new OptionError("features: no blocks; choose at least one, or all");
    this.#pooling = options.pooling ?? (config.classTokens > 0 ? "cls" : "avg");
    const view = evaluationViews(imagePixels, config.channels === 1 ? 1 : 3);
    this.#view = { ...view, mean: mean ?? view.mean, deviation: deviation ?? view.deviation };
  }

  get shorterSidePixels(): number {
    return Math.round((this.#view.global.heightPixels * 256) / 224);
  }

  /** @returns once submitted; the result is one `[batch, D]` per block, with rows of no meaning behind the images */
  async submit({ images }: ImageBatch): Promise<() => Promise<readonly ArrayLike<number>[]>> {
    const bytes = images.reduce((sum, { data }) => sum + data.length, 0);
    const program = this.#programFor(bytes);
    const packed = packImages(images, this.#capacityBytes);
    const table = new Uint32Array(4 * this.batch);
    const parameters = new Uint32Array(viewWords * this.batch);
    for (let row = 0; row < this.batch; row++) {
      const image = Math.min(row, images.length - 1); // a short batch repeats its last image
      const { width = 1, height = 1 } = images[image] ?? {};
      table.set(packed.table.subarray(4 * image, 4 * image + 4), 4 * row);
      parameters.set(
        evaluationParameters(this.#view, [{ width, height }], this.#resizedSide(width, height)),
        viewWords * row,
      );
    }
    const names = Object.keys(program.outputs);
    const readback = await program.run({ images: packed.images, table, parameters }, names);
    return async () => {
      const values = await readback.read();
      return names.map((name) => values[name] ?? []);
    };
  }

  #resizedSide(width: number, height: number): number {
    const { heightPixels } = this.#view.global;
    return width === heightPixels && height === heightPixels ? heightPixels : this.shorterSidePixels;
  }

  #programFor(bytes: number): RecordedProgram<Record<string, Tensor>> {
    if (this.#program && bytes <= this.#capacityBytes) return this.#program;
    this.#program?.destroy();
    this.#capacityBytes = 4 * Math.ceil((bytes * (this.#program ? spareRoom : 1)) / 4);
    this.#program = recordProgram(this.device, (p) => this.#record(p), {
      name: "evaluation features",
      inference: true,
    });
    return this.#program;
  }

  #record(program: Program): Record<string, Tensor> {
    const { model, batch, device } = this;
    const operands = {
      images: program.input("images", [this.#capacityBytes / 4], "u32"),
      table: program.input("table", [batch, 4], "u32"),
      parameters: program.input("parameters", [batch, viewWords], "u32"),
    };
    const { global } = views(program, operands, this.#view);
    const last = model.config.blocks - 1;
    const encoded = model.forward(global, { taps: this.blocks.filter((block) => block !== last) });
    const pooling = poolingTable(device, encoded.segments, this.#pooling, model.config.classTokens);
    return Object.fromEntries(
      this.blocks.map((block) => {
        const tokens = block === last ? encoded.rows : encoded.taps.get(block);
        if (!tokens) throw new OptionError(`features: block ${block} was not tapped`);
        return [`block ${block}`, poolTokens(tokens, pooling)];
      }),
    );
  }

  /** Frees the program's memory; the model stays. */
  destroy(): void {
    this.#program?.destroy();
    this.#program = undefined;
  }
}
