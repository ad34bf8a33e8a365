/** Range of samples that stands for black … white. */
export interface SampleRange {
  readonly least: number;
  readonly most: number;
}

// TIFF 6.0: section 2 (structure), page 40 (SMinSampleValue 340, SMaxSampleValue 341).
const smallestTag = 340;
const largestTag = 341;
/** Bytes and reader of the numeric field types; others cannot state a sample. */
const fieldReaders: ReadonlyMap<
  number,
  readonly [bytes: number, read: (view: DataView, at: number, le: boolean) => number]
> = new Map([
  [1, [1, (view, at) => view.getUint8(at)]],
  [3, [2, (view, at, le) => view.getUint16(at, le)]],
  [4, [4, (view, at, le) => view.getUint32(at, le)]],
  [6, [1, (view, at) => view.getInt8(at)]],
  [8, [2, (view, at, le) => view.getInt16(at, le)]],
  [9, [4, (view, at, le) => view.getInt32(at, le)]],
  [11, [4, (view, at, le) => view.getFloat32(at, le)]],
  [12, [8, (view, at, le) => view.getFloat64(at, le)]],
]);

/** The range of samples that a TIFF file declares for its first image; undefined if it declares none. */
export function declaredRange(file: Uint8Array): SampleRange | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 8) return undefined;
  const little = view.getUint16(0) === 0x4949; // "II"
  if (view.getUint16(2, little) !== 42) return undefined;
  const directory = view.getUint32(4, little);
  if (directory + 2 > file.length) return undefined;
  const entries = view.getUint16(directory, little);
  const values = new Map<number, number[]>();
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + 12 * entry;
    if (at + 12 > file.length) return undefined;
    const tag = view.getUint16(at, little);
    if (tag === smallestTag || tag === largestTag) values.set(tag, fieldValues(view, at, little));
  }
  const least = Math.min(...(values.get(smallestTag) ?? []));
  const most = Math.max(...(values.get(largestTag) ?? []));
  return Number.isFinite(least) && Number.isFinite(most) && least < most ? { least, most } : undefined;
}

function fieldValues(view: DataView, at: number, little: boolean): number[] {
  const [bytes, read] = fieldReaders.get(view.getUint16(at + 2, little)) ?? [];
  const count = view.getUint32(at + 4, little);
  if (bytes === undefined || read === undefined || count > 16) return [];
  const from = bytes * count <= 4 ? at + 8 : view.getUint32(at + 8, little);
  if (from + bytes * count > view.byteLength) return [];
  return Array.from({ length: count }, (_, i) => read(view, from + i * bytes, little));
}

/**
 * Samples of more than 16 bits, or with a sign, as 8-bit ones. The range is 0 … 1 where all samples lie there and can lie between;
 * else the declared one. Without either nobody knows which sample is white, and a guess would make pictures black or flat.
 *
 * @param samples - as stored
 * @param isFloat - whether samples may lie between whole numbers
 * @throws Error saying which samples there are
 */
export function bytesOfSamples(
  samples: Float64Array,
  isFloat: boolean,
  declared: SampleRange | undefined,
): Uint8Array<ArrayBuffer> {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const sample of samples) {
    if (!Number.isFinite(sample)) throw new Error(`a sample is ${sample}; clean the file`);
    least = Math.min(least, sample);
    most = Math.max(most, sample);
  }
  const range = isFloat && least >= 0 && most <= 1 ? { least: 0, most: 1 } : declared;
  if (range === undefined)
    throw new Error(
      `samples from ${least} to ${most}, and the file declares no smallest and largest sample; scale it to 0 … 1 or to 8 or 16 bits`,
    );
  const span = range.most - range.least;
  return Uint8Array.from(samples, (sample) =>
    Math.min(255, Math.max(0, Math.round((255 * (sample - range.least)) / span))),
  );
}
