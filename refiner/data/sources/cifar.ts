import { DataFormatError } from "../errors.ts";
import type { ImageSource } from "../image_source.ts";
import type { NamedBytes } from "./idx.ts";

const side = 32;
const planeBytes = side * side;
const pixelBytes = 3 * planeBytes;

interface CifarLayout {
  /** 1: label. 2: coarse label, fine label. */
  readonly labelBytes: 1 | 2;
  readonly classes: number;
  readonly coarseClasses?: number;
}
const cifar10: CifarLayout = { labelBytes: 1, classes: 10 };
const cifar100: CifarLayout = { labelBytes: 2, classes: 100, coarseClasses: 20 };

/**
 * Recognises the binary version of CIFAR-10 or CIFAR-100 by the size of the file and the range of its labels.
 *
 * @param first - the beginning of the file, at least one row of 3074 bytes
 */
export function cifarLayout(first: Uint8Array, sizeBytes: number): CifarLayout | undefined {
  return [cifar10, cifar100].find(({ labelBytes, classes, coarseClasses = 0 }) => {
    const rowBytes = labelBytes + pixelBytes;
    if (sizeBytes === 0 || sizeBytes % rowBytes !== 0) return false;
    for (let row = 0; row + labelBytes <= first.length; row += rowBytes) {
      if ((first[row + labelBytes - 1] ?? 0) >= classes) return false;
      if (labelBytes === 2 && (first[row] ?? 0) >= coarseClasses) return false;
    }
    return true;
  });
}

/**
 * CIFAR binary files, one after another: rows of label bytes and a 32 × 32 image as red, green and blue plane.
 * The label of CIFAR-100 is the fine one.
 *
 * @param classNames - as in `batches.meta.txt` or `fine_label_names.txt`
 * @throws DataFormatError if a file is neither, or the files differ in kind
 */
export function cifarImages(files: readonly NamedBytes[], classNames?: readonly string[]): ImageSource {
  const [first] = files;
  const layout = first && cifarLayout(first.bytes, first.bytes.length);
  if (layout === undefined || files.some(({ bytes }) => cifarLayout(bytes, bytes.length) !== layout)) {
    const names = files.map(({ name }) => name).join(", ");
    throw new DataFormatError(
      `cifar: ${names} are not whole CIFAR-10 or CIFAR-100 binary files of one kind; fetch them again`,
    );
  }
  const { labelBytes } = layout;
  const rowBytes = labelBytes + pixelBytes;
  const rows = files.flatMap(({ name, bytes }) =>
    Array.from({ length: bytes.length / rowBytes }, (_, row) => ({ name, bytes, row, from: row * rowBytes })),
  );
  const at = (index: number) => {
    const row = rows[index];
    if (row === undefined) throw new RangeError(`cifar: image ${index} is not within 0 … ${rows.length - 1}`);
    return row;
  };
  return {
    length: rows.length,
    channels: 3,
    largestBytes: pixelBytes,
    classNames,
    label: (index) => {
      const { bytes, from } = at(index);
      return bytes[from + labelBytes - 1];
    },
    name: (index) => {
      const { name, row } = at(index);
      return `${name}[${row}]`;
    },
    load: async (index) => {
      const { bytes, from } = at(index);
      return {
        width: side,
        height: side,
        channels: 3,
        data: interleaved(bytes.subarray(from + labelBytes, from + rowBytes)),
      };
    },
  };
}

function interleaved(planes: Uint8Array): Uint8Array {
  const pixels = new Uint8Array(pixelBytes);
  for (let pixel = 0; pixel < planeBytes; pixel++) {
    for (let channel = 0; channel < 3; channel++)
      pixels[pixel * 3 + channel] = planes[channel * planeBytes + pixel] ?? 0;
  }
  return pixels;
}
