import type { Program, Tensor } from "../../../engine/index.ts";
import type { VitConfig } from "../../../models/index.ts";
import type { RgbImage } from "../../data/image_source.ts";
import {
  evaluationParameters,
  evaluationViews,
  packImages,
  type ViewConfig,
  views,
  viewWords,
} from "../../data/views/index.ts";

/** How evaluation images are shown to a model. */
export interface EvaluationViewOptions {
  /** Side of the square that the model sees; default its own height. */
  readonly imagePixels?: number;
  /** Per channel, on the scale 0 … 1; default ImageNet's. */
  readonly mean?: readonly number[];
  readonly deviation?: readonly number[];
}

/** Room for photographs of different shapes where a program has to be recorded again for larger images. */
const spareRoom = 1.25;

/**
 * Images as a model sees them in evaluations: resized on the device (shorter side to 256/224 of the model's, bicubic), cropped in
 * the centre, normalised; those of exactly the model's size stay as they are.
 */
export class EvaluationInputs {
  readonly #view: ViewConfig;
  #capacityBytes = 0;

  constructor(
    model: VitConfig,
    readonly batch: number,
    { imagePixels = model.heightPixels, mean, deviation }: EvaluationViewOptions,
  ) {
    const view = evaluationViews(imagePixels, model.channels === 1 ? 1 : 3);
    this.#view = { ...view, mean: mean ?? view.mean, deviation: deviation ?? view.deviation };
  }

  /** Shorter side that images are resized to: enough to decode. */
  get shorterSidePixels(): number {
    return Math.round((this.#view.global.heightPixels * 256) / 224);
  }

  /** Makes room for a batch. @returns whether programs recorded before are too small for it */
  grow(images: readonly RgbImage[]): boolean {
    const bytes = images.reduce((sum, { data }) => sum + data.length, 0);
    if (bytes <= this.#capacityBytes) return false;
    this.#capacityBytes = 4 * Math.ceil((bytes * (this.#capacityBytes > 0 ? spareRoom : 1)) / 4);
    return true;
  }

  /** Records the inputs; gives `[batch, C, H, W]`. */
  record(program: Program): Tensor {
    const operands = {
      images: program.input("images", [this.#capacityBytes / 4], "u32"),
      table: program.input("table", [this.batch, 4], "u32"),
      parameters: program.input("parameters", [this.batch, viewWords], "u32"),
    };
    return views(program, operands, this.#view).global;
  }

  /** Host values of the inputs; a short batch repeats its last image. */
  values(images: readonly RgbImage[]): Record<string, Uint32Array> {
    const packed = packImages(images, this.#capacityBytes);
    const table = new Uint32Array(4 * this.batch);
    const parameters = new Uint32Array(viewWords * this.batch);
    for (let row = 0; row < this.batch; row++) {
      const place = Math.min(row, images.length - 1);
      const { width = 1, height = 1 } = images[place] ?? {};
      table.set(packed.table.subarray(4 * place, 4 * place + 4), 4 * row);
      const drawn = evaluationParameters(this.#view, [{ width, height }], this.#resizedSide(width, height));
      parameters.set(drawn, viewWords * row);
    }
    return { images: packed.images, table, parameters };
  }

  #resizedSide(width: number, height: number): number {
    const { heightPixels } = this.#view.global;
    return width === heightPixels && height === heightPixels ? heightPixels : this.shorterSidePixels;
  }
}
