import { DataFormatError } from "../errors.ts";
import type { ImageSource } from "../image_source.ts";
import { gunzip } from "./gunzip.ts";

// The IDX format as described beside the MNIST data: two zero bytes, a type (8 = unsigned byte), the number of
// dimensions, each dimension as 32-bit big-endian, then the values.
const unsignedByte = 8;
const longestHeader = 4 + 4 * 4;

export interface IdxArray {
  readonly shape: readonly number[];
  readonly values: Uint8Array;
}

/** Number of dimensions if the bytes begin as an IDX file of unsigned bytes, else undefined. */
export function idxRank(bytes: Uint8Array): number | undefined {
  const [zero0, zero1, type, rank] = bytes;
  const idx = zero0 === 0 && zero1 === 0 && type === unsignedByte && rank !== undefined && rank >= 1 && rank <= 4;
  return idx ? rank : undefined;
}

/** Bytes of a whole IDX file, from its beginning; undefined for other bytes, or a beginning that is too short. */
export function idxBytes(beginning: Uint8Array): number | undefined {
  const rank = idxRank(beginning);
  const headerBytes = 4 + 4 * (rank ?? 0);
  if (rank === undefined || beginning.length < headerBytes) return undefined;
  const view = new DataView(beginning.buffer, beginning.byteOffset, beginning.byteLength);
  return (
    Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis)).reduce(
      (product, size) => product * size,
      1,
    ) + headerBytes
  );
}

/** An IDX file, unpacked if it is compressed, but never beyond what its header declares. @throws DataFormatError */
export function unpackIdx({ bytes, name }: NamedBytes): Promise<Uint8Array<ArrayBuffer>> {
  return gunzip(bytes, name, longestHeader, idxBytes);
}

/** @throws DataFormatError if the bytes are no IDX file of unsigned bytes, or their number does not fit its shape */
export function parseIdx(bytes: Uint8Array, name: string): IdxArray {
  const rank = idxRank(bytes);
  const headerBytes = 4 + 4 * (rank ?? 0);
  if (rank === undefined || bytes.length < headerBytes) {
    throw new DataFormatError(`idx: ${name} does not begin as an IDX file of unsigned bytes; give MNIST-style files`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = shape.reduce((product, size) => product * size, 1);
  if (bytes.length - headerBytes !== expected) {
    throw new DataFormatError(
      `idx: ${name} holds ${bytes.length - headerBytes} values, its header says ${shape.join(" × ")} = ${expected}; fetch it again`,
    );
  }
  return { shape, values: bytes.subarray(headerBytes) };
}

export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Images `[N, height, width]` (grey) or `[N, height, width, 3]` of an IDX file with, if given, labels `[N]` of another,
 * each plain or gzip-compressed.
 *
 * @throws DataFormatError if a file is no such array or the two differ in length
 */
export async function idxImages(images: NamedBytes, labels?: NamedBytes): Promise<ImageSource> {
  const { shape, values } = parseIdx(await unpackIdx(images), images.name);
  const [length = 0, height = 0, width = 0, channels = 1] = shape;
  if (shape.length < 3 || (channels !== 1 && channels !== 3)) {
    throw new DataFormatError(
      `idx: ${images.name} has shape ${shape.join(" × ")}; images are number × height × width (× 3); is it the file of labels?`,
    );
  }
  if (height < 1 || width < 1)
    throw new DataFormatError(`idx: ${images.name} holds images of ${height} × ${width} pixels; fetch it again`);
  const labelled = labels && parseIdx(await unpackIdx(labels), labels.name);
  if (labelled && (labelled.shape.length !== 1 || labelled.values.length !== length)) {
    throw new DataFormatError(
      `idx: ${labels.name} has shape ${labelled.shape.join(" × ")}, the images are ${length}; give the labels of the same part`,
    );
  }
  const imageBytes = height * width * channels;
  return {
    length,
    channels,
    largestBytes: imageBytes,
    label: (index) => labelled?.values[index],
    name: (index) => `${images.name}[${index}]`,
    load: async (index) => {
      if (index < 0 || index >= length) throw new RangeError(`idx: image ${index} is not within 0 … ${length - 1}`);
      return { width, height, channels, data: values.slice(index * imageBytes, (index + 1) * imageBytes) };
    },
  };
}
