import { type Outputs, type RecordedProgram, recordProgram } from "../../../engine/index.ts";
import { gridOf, type VisionTransformer } from "../../../models/index.ts";
import type { ImageBatch } from "../../data/batches/batches.ts";
import type { ImageSource } from "../../data/image_source.ts";
import { probeViews } from "../../data/views/index.ts";
import { bytesPerImage, ViewInputs } from "../../data/views/view_inputs.ts";
import { type FeatureExtractor, type FeatureRows, pooledBlocks } from "./feature_extractor.ts";

/** Decoded images keep this many times the pixels of a view's side, so that a crop of 8 % is not enlarged by much. */
const decodedSides = 2;

/** Features of fresh views: random crops of 8 to 100 % of the area, mirrored or not, through the encoder as it is. */
export class RandomViews {
  /** Pixels of the shorter side that images are decoded to. */
  readonly resizeTo: number;
  readonly #inputs: ViewInputs;
  readonly #program: RecordedProgram<Outputs>;
  readonly #batch: number;

  /** @param like - says what of the encoder is read, and how many images the device sees at a time */
  constructor(
    readonly model: VisionTransformer,
    images: ImageSource,
    readonly like: FeatureExtractor,
  ) {
    const { patchPixels } = model.config;
    const { grid, blocks, pooling, channels } = like;
    const pixels = { heightPixels: grid.rows * patchPixels, widthPixels: grid.columns * patchPixels };
    gridOf(model.config, pixels.heightPixels, pixels.widthPixels);
    this.resizeTo = decodedSides * Math.min(pixels.heightPixels, pixels.widthPixels);
    this.#batch = like.batch;
    const square = probeViews(pixels.heightPixels, channels);
    const config = { ...square, global: { ...square.global, ...pixels } };
    this.#inputs = new ViewInputs(config, this.#batch, this.#batch * bytesPerImage(images, this.resizeTo));
    this.#program = recordProgram<Outputs>(
      model.device,
      (p) => {
        const [views] = this.#inputs.record(p);
        if (!views) throw new RangeError("features: the views recorded nothing");
        const pooled = pooledBlocks(p, model, views, { blocks, pooling });
        return Object.fromEntries(pooled.map((values, i) => [String(i), values]));
      },
      { inference: true, name: "features of random views" },
    );
  }

  /** What the encoder and its inputs take on the device, from the plan. */
  get plannedBytes(): number {
    const { plannedPeakBytes, inputBytes } = this.#program.stats;
    return plannedPeakBytes + inputBytes;
  }

  /** Per block `[images, width]` of one view of every image, not checked for finite values; views depend on seed, epoch and the image's place in the data set. */
  async rows(batch: ImageBatch, seed: number, epoch: number): Promise<FeatureRows> {
    const names = Object.keys(this.#program.outputs);
    const images = batch.images.length;
    const blocks = names.map(() => new Float32Array(images * this.like.width));
    const parts: { readonly first: number; readonly read: () => Promise<Record<string, ArrayLike<number>>> }[] = [];
    const collect = async (left: number): Promise<void> => {
      for (const { first, read } of parts.splice(0, Math.max(0, parts.length - left))) {
        const values = await read();
        const count = Math.min(this.#batch, images - first);
        names.forEach((name, i) => {
          const part = Float32Array.from(values[name] ?? []).subarray(0, count * this.like.width);
          blocks[i]?.set(part, first * this.like.width);
        });
      }
    };
    for (let first = 0; first < images; first += this.#batch) {
      const readback = await this.#program.run(
        this.#inputs.values(padded(batch, first, this.#batch), 0, seed, epoch),
        names,
      );
      parts.push({ first, read: () => readback.read() });
      await collect(1); // one part is computed while the next one is packed
    }
    await collect(0);
    return blocks;
  }

  destroy(): void {
    this.#program.destroy();
  }
}

/** A part of a batch, filled up with its last image: the device always sees the same number. */
function padded(batch: ImageBatch, first: number, length: number): ImageBatch {
  const place = (slot: number): number => Math.min(first + slot, batch.images.length - 1);
  const images = Array.from({ length }, (_, slot) => batch.images[place(slot)]).filter((image) => image !== undefined);
  return {
    number: batch.number,
    images,
    indices: Uint32Array.from({ length }, (_, slot) => batch.indices[place(slot)] ?? 0),
    labels: Int32Array.from({ length }, (_, slot) => batch.labels[place(slot)] ?? -1),
  };
}
