/** An image as 8-bit samples, row-major, channels interleaved: `data[(y * width + x) * channels + c]`. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** 3 is RGB (sRGB values), 1 is grey. */
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

export interface LoadOptions {
  /**
   * Pixels of the shorter side that are enough: larger images are reduced while decoding, smaller ones are never
   * enlarged. Sources of stored pixels (IDX, CIFAR, memory) return them as they are.
   */
  readonly resizeTo?: number;
  /** Largest area in pixels: what is still larger at `resizeTo`, such as a panorama, is reduced to it. Stored pixels stay as they are. */
  readonly maxPixels?: number;
  /** Drops the request if decoding has not begun. */
  readonly signal?: AbortSignal;
}

/** A data set of known length with random access. */
export interface ImageSource {
  readonly length: number;
  /** Channels of every image that `load` returns. */
  readonly channels: 1 | 3;
  /** Bytes of the largest image, for sources that return images as they are stored. */
  readonly largestBytes?: number;
  /** What a user should know of how the data set was read, such as files that were left out. */
  readonly notices?: readonly string[];
  /** Class names by label, where the data set names its classes. */
  readonly classNames?: readonly string[];
  /** Class of an image, counted from 0; undefined where there is none. */
  label(index: number): number | undefined;
  /** What to call an image in a message: its path, or its place in an archive. */
  name(index: number): string;
  /** @throws BrokenImageError if this one image cannot be read or decoded */
  load(index: number, options?: LoadOptions): Promise<RgbImage>;
  /** Frees worker threads and files. */
  close?(): Promise<void>;
}

/** Where the bytes of a compressed image are. */
export type EncodedImage =
  | { readonly path: string; readonly offset?: number; readonly lengthBytes?: number }
  | { readonly path: string; readonly zipped: ZippedImage }
  | { readonly bytes: Uint8Array };

/** An image in a zip archive, as its directory tells; see `ZipEntry`. */
export interface ZippedImage {
  readonly method: "stored" | "deflated";
  readonly storedBytes: number;
  readonly sizeBytes: number;
  readonly headerOffset: number;
  /** CRC-32 of its bytes. */
  readonly checksum: number;
}

export interface DecodeOptions extends LoadOptions {
  readonly channels: 1 | 3;
}

/** Turns compressed images into samples; the Node implementation does it in worker threads. */
export interface ImageDecoder {
  /** @throws BrokenImageError with `name` if the bytes are missing or not a whole image */
  decode(name: string, encoded: EncodedImage, options: DecodeOptions): Promise<RgbImage>;
  close(): Promise<void>;
}
