import type { Program, Tensor } from "../../../engine/index.ts";
import type { ImageBatch } from "../batches/batches.ts";
import type { ImageSource } from "../image_source.ts";
import {
  augmentSteps,
  augmentWords,
  drawAugmentSteps,
  drawErasures,
  drawViewParameters,
  erasesImages,
  erasureWords,
  type PackedImages,
  packedImages,
  packImages,
  type ViewConfig,
  type ViewOperands,
  views,
  viewWords,
} from "./index.ts";

/** Photographs rarely exceed it (16:9 is 1.8); room for more would cost memory at every step. */
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
      ...this.#augmentationInputs(program, rows),
    };
    const { global, local } = views(program, operands, config);
    return local ? [global, local] : [global];
  }

  #augmentationInputs(program: Program, rows: number): Pick<ViewOperands, "augmentations" | "erasures"> {
    const steps = augmentSteps(this.config);
    const shapes = { augmentations: [rows, steps, augmentWords], erasures: [rows, erasureWords] };
    return {
      ...(steps > 0 ? { augmentations: program.input("augmentations", shapes.augmentations, "u32") } : {}),
      ...(erasesImages(this.config) ? { erasures: program.input("erasures", shapes.erasures, "u32") } : {}),
    };
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
    const draws = { seed, step: epoch, samples };
    return {
      images: packed.images,
      imageTable: packed.table,
      viewParameters: drawViewParameters(this.config, draws),
      ...(augmentSteps(this.config) > 0 ? { augmentations: drawAugmentSteps(this.config, draws) } : {}),
      ...(erasesImages(this.config) ? { erasures: drawErasures(this.config, draws) } : {}),
    };
  }
}

/** Largest area, in pixels, of an image that training decodes: what is longer than twice its shorter side is reduced further. */
export function largestArea(resizeTo: number): number {
  return longestAspect * resizeTo * resizeTo;
}

/** Bytes of packed images to plan for, per image: the largest one where pixels are stored, else the bound of decoding. */
export function bytesPerImage(source: ImageSource, resizeTo: number): number {
  return source.largestBytes ?? largestArea(resizeTo) * source.channels;
}
