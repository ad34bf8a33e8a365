import type { Program, Tensor } from "../engine/index.ts";
import type { ImageBatch, ImageSource } from "./data/index.ts";
import {
  drawViewParameters,
  type PackedImages,
  packedImages,
  packImages,
  type ViewConfig,
  views,
  viewWords,
} from "./views/index.ts";

/** Room per image that programs are recorded for: stored images have one size, decoded ones are bounded by their shorter side. */
const longestAspect = 2;

/** Uploads decoded images and draws their views, with memory that is allocated once. */
export class ViewInputs {
  readonly #packed: PackedImages;

  constructor(
    readonly config: ViewConfig,
    readonly images: number,
    readonly capacityBytes: number,
  ) {
    this.#packed = packedImages(images, capacityBytes);
  }

  /** Records the inputs and the views; `[V_g · m, …]`, then `[V_l · m, …]`. */
  record(program: Program): Tensor[] {
    const { config, images } = this;
    const rows = (config.global.views.length + (config.local?.views.length ?? 0)) * images;
    const operands = {
      images: program.input("images", [this.#packed.images.length], "u32"),
      table: program.input("imageTable", [images, 4], "u32"),
      parameters: program.input("viewParameters", [rows, viewWords], "u32"),
    };
    const { global, local } = views(program, operands, config);
    return local ? [global, local] : [global];
  }

  /**
   * Host values of the inputs for `images` images of a batch from `first` on. Views depend on seed, epoch, and the image's
   * place in the data set only, so slicing a batch changes nothing.
   *
   * @throws BatchCapacityError
   */
  values(batch: ImageBatch, first: number, seed: number, epoch: number): Record<string, Uint32Array> {
    const part = batch.images.slice(first, first + this.images);
    const packed = packImages(part, this.capacityBytes, this.#packed);
    const samples = part.map(({ width, height }, i) => ({ width, height, index: batch.indices[first + i] ?? 0 }));
    return {
      images: packed.images,
      imageTable: packed.table,
      viewParameters: drawViewParameters(this.config, { seed, step: epoch, samples }),
    };
  }
}

/** Bytes of packed images to plan for, per image: the first image's size where all are stored alike, else the decode bound. */
export async function bytesPerImage(source: ImageSource, resizeTo: number): Promise<number> {
  const first = await source.load(0, { resizeTo });
  const bounded = resizeTo * resizeTo * longestAspect * source.channels;
  return Math.max(
    first.width * first.height * first.channels,
    Math.min(first.width, first.height) >= resizeTo ? bounded : 0,
  );
}
