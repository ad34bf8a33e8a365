/** Text is taken character by character, numbers as bytes. */
export type PickleParts = readonly (string | number | Uint8Array)[];

/** Bytes of pickle instructions. */
export function pickleBytes(...parts: PickleParts): Uint8Array<ArrayBuffer> {
  const chunks = parts.map((part) => {
    if (typeof part === "number") return Uint8Array.of(part);
    return typeof part === "string" ? Uint8Array.from(part, (character) => character.charCodeAt(0)) : part;
  });
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/** A number in `widthBytes` bytes, low byte first. */
export function littleEndian(value: number, widthBytes: number): Uint8Array {
  return Uint8Array.from({ length: widthBytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
}

/** Instructions that push text. */
export function textBytes(text: string): Uint8Array {
  return pickleBytes("X", littleEndian(text.length, 4), text);
}

/** Instructions that push a storage of `size` elements of a class in `torch`, with an optional view. */
export function storageBytes(className: string, size: number, view: Uint8Array = pickleBytes()): Uint8Array {
  return pickleBytes(
    "(",
    textBytes("storage"),
    `ctorch\n${className}\n`,
    textBytes("0"),
    textBytes("cpu"),
    "J",
    littleEndian(size, 4),
    view,
    "tQ",
  );
}

/** Instructions that push a tuple of small numbers. */
export function numbersBytes(...values: readonly number[]): Uint8Array {
  return pickleBytes("(", ...values.flatMap((value) => ["J", littleEndian(value, 4)]), "t");
}
