import { type Device, OptionError, type Program, type Tensor } from "../../../engine/index.ts";
import { gridOf, type VitConfig } from "../../../models/index.ts";
import type { LoadOptions, RgbImage } from "../../data/image_source.ts";
import {
  BatchCapacityError,
  evaluationParameters,
  evaluationViews,
  type ViewConfig,
  views,
  viewWords,
} from "../../data/views/index.ts";

/** How evaluation images are shown to a model. */
export interface EvaluationViewOptions {
  /** Side of the square that the model sees; default its own height and width. */
  readonly imagePixels?: number;
  /**
   * Shorter side that images are resized to before the centre crop. Default: 256/224 of the model's resolution, and images of
   * exactly that resolution stay as they are.
   */
  readonly shorterSidePixels?: number;
  /**
   * `crop` (default): resized with its shape kept, then cropped in the centre. `squash`: resized to the square as it is, which changes
   * shapes and loses no border, as the probes of VTAB do; `shorterSidePixels` then has no part in it.
   */
  readonly fit?: "crop" | "squash";
  /** Per channel, on the scale 0 … 1; default ImageNet's. */
  readonly mean?: readonly number[];
  readonly deviation?: readonly number[];
}

/**
 * Shorter side, in units of the resized image's, up to which images reach the device as they are; decoders reduce larger ones to
 * it first. The device resizes as Pillow does (`views_resize.wgsl`), decoders do not: a picture that the decoder had brought to
 * the final size differed from Pillow's by several levels, and features by up to 0.025. At 4 nearly all of ImageNet is untouched
 * (256 · 4 = 1024), and a larger photograph loses only what the second reduction to a quarter would have averaged away.
 */
const fullResolutionFactor = 4;

/** Longest shape that is decoded without loss: panoramas beyond it are reduced to the area that one of 8:1 has. */
const longestAspect = 8;

/** Room at first: photographs of 3:2 at the resized size. */
const firstAspect = 1.5;

/** The tables share a buffer with the images: 96 bytes per image of a batch, and alignment. */
const tableRoomBytes = 2 ** 16;

/** Room for photographs of different shapes where a program has to be recorded again for larger images. */
const spareRoom = 1.25;

/**
 * Images as a model sees them in evaluations: resized on the device (shorter side to 256/224 of the model's, bicubic), cropped in
 * the centre, normalised; those of exactly the model's size stay as they are.
 */
export class EvaluationInputs {
  readonly #view: ViewConfig;
  readonly #shorterSidePixels: number | undefined;
  readonly #fit: "crop" | "squash";
  readonly #mostBytes: number;
  #images: Uint32Array;

  /**
   * @param batch - images of the program
   * @throws OptionError for a model whose images are neither grey nor colour
   */
  constructor(
    device: Device,
    model: VitConfig,
    readonly batch: number,
    { imagePixels, shorterSidePixels, fit = "crop", mean, deviation }: EvaluationViewOptions,
  ) {
    const { channels } = model;
    if (channels !== 1 && channels !== 3)
      throw new OptionError(`features: the model takes ${channels} channels; images have 1 or 3`);
    const { heightPixels, widthPixels } =
      imagePixels === undefined ? model : { heightPixels: imagePixels, widthPixels: imagePixels };
    gridOf(model, heightPixels, widthPixels);
    const square = evaluationViews(heightPixels, channels);
    this.#view = {
      ...square,
      global: { ...square.global, widthPixels },
      mean: mean ?? square.mean,
      deviation: deviation ?? square.deviation,
    };
    this.#shorterSidePixels = shorterSidePixels;
    this.#fit = fit;
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
    this.#mostBytes = Math.min(maxStorageBufferBindingSize, maxBufferSize - tableRoomBytes) - batch * channels;
    const side = this.shorterSidePixels;
    const atFirst = batch * Math.ceil(firstAspect * side * side) * channels;
    this.#images = words(Math.min(this.#mostBytes, atFirst) + this.#blankBytes);
  }

  /** Room for the places of a batch that no image takes. */
  get #blankBytes(): number {
    return this.batch * this.channels;
  }

  get heightPixels(): number {
    return this.#view.global.heightPixels;
  }

  get widthPixels(): number {
    return this.#view.global.widthPixels;
  }

  /** Channels of the images. */
  get channels(): 1 | 3 {
    return this.#view.channels;
  }

  /** Shorter side before the centre crop; that of an image whose longer side would not do is larger. */
  get shorterSidePixels(): number {
    return this.#shorterSidePixels ?? Math.round((Math.min(this.heightPixels, this.widthPixels) * 256) / 224);
  }

  /** What is enough when images are decoded; pass it to the source's `load`. */
  get decoding(): Required<Pick<LoadOptions, "resizeTo" | "maxPixels">> {
    const resizeTo = fullResolutionFactor * this.shorterSidePixels;
    const maxPixels = Math.min(longestAspect * resizeTo * resizeTo, Math.floor(this.#mostBytes / this.channels));
    return { resizeTo, maxPixels };
  }

  /** The same where a whole batch has to have room at once, whatever the shapes of its images. */
  get decodingForWholeBatch(): Required<Pick<LoadOptions, "resizeTo" | "maxPixels">> {
    const { resizeTo, maxPixels } = this.decoding;
    return { resizeTo, maxPixels: Math.min(maxPixels, Math.floor(this.#mostBytes / (this.batch * this.channels))) };
  }

  /** Whether a program has room for the images: they are no more than `batch`, and within the device's limits together. */
  hold(images: readonly RgbImage[]): boolean {
    return images.length <= this.batch && sizeBytes(images) <= this.#mostBytes;
  }

  /**
   * Makes room for images.
   *
   * @returns whether programs recorded before are too small for them
   * @throws BatchCapacityError if they are over the device's limits
   */
  grow(images: readonly RgbImage[]): boolean {
    const bytes = sizeBytes(images);
    if (bytes + this.#blankBytes <= this.#images.byteLength) return false;
    if (bytes > this.#mostBytes) {
      const [{ width = 0, height = 0 } = {}] = images;
      throw new BatchCapacityError(
        `features: ${images.length} images, the first of ${width} × ${height} pixels, have ${bytes} bytes, over the device's limit of ${this.#mostBytes}; give fewer at a time, or decode with resizeTo ${this.decoding.resizeTo}`,
      );
    }
    this.#images = words(Math.min(this.#mostBytes, spareRoom * bytes) + this.#blankBytes);
    return true;
  }

  /** Records the inputs; gives `[batch, C, H, W]`. */
  record(program: Program): Tensor {
    const operands = {
      images: program.input("images", [this.#images.length], "u32"),
      table: program.input("table", [this.batch, 4], "u32"),
      parameters: program.input("parameters", [this.batch, viewWords], "u32"),
    };
    return views(program, operands, this.#view).global;
  }

  /** Host values of the inputs, valid until the next call; places that no image takes are black. @throws OptionError */
  values(images: readonly RgbImage[]): Record<string, Uint32Array> {
    const table = new Uint32Array(4 * this.batch);
    const parameters = new Uint32Array(viewWords * this.batch);
    const bytes = new Uint8Array(this.#images.buffer);
    let offset = 0;
    for (let row = 0; row < this.batch; row++) {
      const image = images[row] ?? blank(this.channels);
      if (image.channels !== this.channels)
        throw new OptionError(
          `features: an image has ${image.channels} channels, the model takes ${this.channels}; convert the images (matchChannels) or choose another model`,
        );
      table.set([offset, image.width, image.height, 0], 4 * row);
      bytes.set(image.data, offset);
      parameters.set(evaluationParameters(this.#view, [image], this.#resizedSide(image)), viewWords * row);
      offset += image.data.length;
    }
    return { images: this.#images, table, parameters };
  }

  /** Undefined for 256/224 of the view. */
  #resizedSide({ width, height }: RgbImage): number | "squash" | undefined {
    if (this.#fit === "squash") return "squash";
    if (this.#shorterSidePixels !== undefined) return this.#shorterSidePixels;
    const isExact = width === this.widthPixels && height === this.heightPixels;
    return isExact ? Math.min(width, height) : undefined;
  }
}

/** One black pixel. */
function blank(channels: 1 | 3): RgbImage {
  return { width: 1, height: 1, channels, data: new Uint8Array(channels) };
}

function words(bytes: number): Uint32Array {
  return new Uint32Array(Math.floor(bytes / 4) + (bytes % 4 > 0 ? 1 : 0));
}

function sizeBytes(images: readonly RgbImage[]): number {
  return images.reduce((sum, { data }) => sum + data.length, 0);
}
