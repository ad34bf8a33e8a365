/** Base of every error about input data; catch it to tell bad data from a bad program. */
export class DataError extends Error {
  override name = "DataError";
}

/** An option of a data function is out of range. */
export class DataOptionError extends DataError {
  override name = "DataOptionError";
}

/** A path does not exist or cannot be read. */
export class UnreadableDataError extends DataError {
  override name = "UnreadableDataError";
}

/** A file is not what its first bytes or its place promise, or is damaged. */
export class DataFormatError extends DataError {
  override name = "DataFormatError";
}

/** A path was read, and no image was found in it. */
export class NoImagesError extends DataError {
  override name = "NoImagesError";
}

/** The data set is too small for one batch. */
export class TooFewImagesError extends DataError {
  override name = "TooFewImagesError";
}

/** The decoder itself failed (a worker died, its file is missing): no image is to blame. */
export class DecoderError extends DataError {
  override name = "DecoderError";
}

/** One image cannot be read or decoded. The loader skips and counts these; custom sources throw it to take part. */
export class BrokenImageError extends DataError {
  override name = "BrokenImageError";
  readonly imageName: string;
  readonly reason: string;

  constructor(imageName: string, reason: string) {
    super(`decode: ${imageName} cannot be decoded (${reason}); replace or remove the file`);
    this.imageName = imageName;
    this.reason = reason;
  }
}

/** More images are broken than the run accepts. */
export class TooManyBrokenImagesError extends DataError {
  override name = "TooManyBrokenImagesError";
  readonly broken: readonly BrokenImageError[];

  constructor(broken: readonly BrokenImageError[], total: number, maxBad: number) {
    const named = broken.slice(0, 3).map((error) => `${error.imageName} (${error.reason})`);
    super(
      `load: ${broken.length} of ${total} images are broken, more than the accepted ${Number((maxBad * 100).toPrecision(6))} %: ${named.join(", ")}` +
        `${broken.length > named.length ? ", …" : ""}; repair or remove them, or accept a larger share (--max-bad)`,
    );
    this.broken = broken;
  }
}
