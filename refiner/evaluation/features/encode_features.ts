import {
  type Device,
  OptionError,
  type Program,
  type RecordedProgram,
  recordProgram,
  type Tensor,
} from "../../../engine/index.ts";
import { type Pooling, poolingTable, poolTokens, type VisionTransformer } from "../../../models/index.ts";
import { type ImageBatch, orderedBatches, type ReadOptions } from "../../data/batches/batches.ts";
import type { ImageSource } from "../../data/image_source.ts";
import { EvaluationError } from "../core/errors.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { EvaluationInputs, type EvaluationViewOptions } from "./evaluation_inputs.ts";
import { fittingBatch } from "./fitting_batch.ts";
import { matchChannels } from "./match_channels.ts";

export interface EncodeOptions
  extends Pick<ReadOptions, "maxBad" | "onBroken" | "signal" | "prefetch">,
    EvaluationViewOptions {
  /** Blocks (0-based) whose output is wanted; default all. That of the last block is the encoder's, after its last norm. */
  readonly blocks?: "all" | readonly number[];
  /** Default: the class token where the model has one, else the mean over patches. */
  readonly pooling?: Pooling;
  /** Images per run, fewer where the device's limits ask for it; changes speed and memory only. Default 64. */
  readonly batch?: number;
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
  const { width, channels, heightPixels, widthPixels } = model.config;
  const fitting = fittingBatch(device, Math.min(batch, source.length), (p, count) => ({
    rows: model.forward(p.input("images", [count, channels, heightPixels, widthPixels])).rows,
  }));
  const encoder = new BatchEncoder(device, model, fitting, options);
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

/** The recorded forward pass for batches of one size. */
class BatchEncoder {
  readonly blocks: readonly number[];
  readonly #inputs: EvaluationInputs;
  readonly #pooling: Pooling;
  #program: RecordedProgram<Record<string, Tensor>> | undefined;

  constructor(
    readonly device: Device,
    readonly model: VisionTransformer,
    readonly batch: number,
    options: EncodeOptions,
  ) {
    const { config } = model;
    const { blocks = "all" } = options;
    this.blocks = blocks === "all" ? Array.from({ length: config.blocks }, (_, block) => block) : blocks;
    if (this.blocks.length === 0) throw new OptionError("features: no blocks; choose at least one, or all");
    this.#pooling = options.pooling ?? (config.classTokens > 0 ? "cls" : "avg");
    this.#inputs = new EvaluationInputs(config, batch, options);
  }

  get shorterSidePixels(): number {
    return this.#inputs.shorterSidePixels;
  }

  /** @returns once submitted; the result is one `[batch, D]` per block, with rows of no meaning behind the images */
  async submit({ images }: ImageBatch): Promise<() => Promise<readonly ArrayLike<number>[]>> {
    if (this.#inputs.grow(images)) this.destroy();
    this.#program ??= recordProgram(this.device, (p) => this.#record(p), {
      name: "evaluation features",
      inference: true,
    });
    const names = Object.keys(this.#program.outputs);
    const readback = await this.#program.run(this.#inputs.values(images), names);
    return async () => {
      const values = await readback.read();
      return names.map((name) => values[name] ?? []);
    };
  }

  #record(program: Program): Record<string, Tensor> {
    const { model } = this;
    const last = model.config.blocks - 1;
    const taps = this.blocks.filter((block) => block !== last);
    const encoded = model.forward(this.#inputs.record(program), { taps });
    const pooling = poolingTable(program, encoded.segments, this.#pooling, model.config.classTokens);
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
